from __future__ import annotations

import pytest

from train.fitting.means import StepMeans


def test_every_step_of_an_epoch_counts():
    means = StepMeans()
    assert means.means() == {}
    for loss in (3.0, 1.0, 2.0):
        means.add({"loss": loss, "distil": 2 * loss})
    assert means.means() == pytest.approx({"loss": 2.0, "distil": 4.0})
