"""A short form of ``make arm``: the golden outputs, enrolment and recognition on an emulated Cortex-A72."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.arm.comparison import BOUNDS, golden_step
from tests.arm.root import cached

_ROOT = cached("trixie")


@pytest.mark.skipif(_ROOT is None, reason="needs what make arm unpacks: run it once")
def test_an_emulated_cortex_a72_computes_what_this_machine_computes() -> None:
    assert _ROOT is not None
    assert golden_step(_ROOT, chips=4) <= BOUNDS["litert"].output


def test_what_a_device_gets_is_small() -> None:
    if _ROOT is None:
        pytest.skip("needs what make arm unpacks: run it once")
    total = sum(path.stat().st_size for path in Path(_ROOT.site).rglob("*") if path.is_file())
    assert total <= 200e6
