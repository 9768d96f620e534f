"""A short form of ``make arm``: golden outputs on an emulated Cortex-A72, and what 32 bits refuse."""

from __future__ import annotations

import subprocess
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


def test_people_are_counted_where_pointers_have_32_bits() -> None:
    """There ``numpy.bincount`` takes no int64, and nobody was recognised."""
    emulated = cached("bookworm-armhf")
    if emulated is None:
        pytest.skip("needs what make arm SUITE=bookworm-armhf unpacks: run it once")
    program = (
        "import numpy as np; from edge_runtime.geometry.embeddings import rows_of_each\n"
        "print(np.dtype(np.intp), rows_of_each(np.array([0, 2, 2], np.int64), 4).tolist())"
    )
    words = [str(emulated.python), "-c", program]
    done = subprocess.run(words, env=emulated.environment(), capture_output=True, text=True)
    assert done.stdout == "int32 [1, 0, 2, 0]\n", done.stderr
