"""Memory that was freed goes back to the system."""

from __future__ import annotations

import ctypes
import subprocess
import sys

import pytest

from tests.builders import ROOT

PROGRAM = """
from pathlib import Path
from edge_runtime.system.memory import give_back

def resident_mb():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 2**20

blocks = [bytes(5000) for _ in range(20000)]
last = blocks[-1]  # at the end of the heap, so that nothing before it goes back by itself
before = resident_mb()
del blocks
freed = resident_mb()
give_back()
print(before - freed, freed - resident_mb())
"""


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "malloc_trim"), reason="the C library has no malloc_trim")
def test_free_pages_before_one_in_use_go_back() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], cwd=ROOT, capture_output=True, text=True, check=True)
    by_itself_mb, given_back_mb = map(float, done.stdout.split())
    assert given_back_mb > 50 > by_itself_mb
