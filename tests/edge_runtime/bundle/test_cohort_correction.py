"""What drawn strangers lack: both directions agree, and what cannot be is refused."""

from __future__ import annotations

import math

import pytest

from edge_runtime.bundle.cohort_correction import CohortCorrection
from edge_runtime.errors import InputError

LIKE = CohortCorrection(offset=0.2, size=0.15, rate=-0.2, spread=0.1, track=0.7, track_people=40)


def test_nothing_known_changes_nothing() -> None:
    assert CohortCorrection().real(0.01, 500) == pytest.approx(0.01) == CohortCorrection().drawn(0.01, 500)


@pytest.mark.parametrize("people", [1, 20, 1000])
@pytest.mark.parametrize("rate", [1e-5, 1e-3, 0.02])
def test_both_directions_agree(people: int, rate: float) -> None:
    assert LIKE.real(LIKE.drawn(rate, people), people) == pytest.approx(rate)


def test_at_the_point_it_counts_from_the_offset_is_all() -> None:
    assert LIKE.picture().real(0.01, 20) == pytest.approx(0.01 * math.exp(0.2))
    assert LIKE.real(0.01, 20) == pytest.approx(0.01 * math.exp(0.9))


def test_rates_stay_rates() -> None:
    assert LIKE.real(0.0, 5) == LIKE.drawn(0.0, 5) == 0.0
    assert LIKE.real(0.9, 10_000) == LIKE.drawn(1.0, 5) == 1.0


def test_it_survives_json() -> None:
    assert CohortCorrection.from_json(LIKE.as_json()) == LIKE


@pytest.mark.parametrize("values", [{"offset": math.nan}, {"rate": -1.0}, {"spread": -0.1}])
def test_what_cannot_be_is_refused(values: dict[str, float]) -> None:
    with pytest.raises(InputError, match="realism"):
        CohortCorrection(**values)  # type: ignore[arg-type]
