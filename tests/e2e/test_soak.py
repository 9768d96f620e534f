"""The soak in short: every fault once, and the daemon as it was before; ``make soak`` is the long form."""

from __future__ import annotations

from pathlib import Path

from tests.soak import FAULTS, slope, soak


def test_every_fault_once_leaves_the_daemon_as_it_was(tmp_path: Path) -> None:
    report = soak(1200, tmp_path, rounds=2 * len(FAULTS))
    assert report.state == "ok"
    assert set(report.faults) == {fault.__name__ for fault in FAULTS}
    first, last = report.samples[0], report.samples[-1]
    assert abs(last.threads - first.threads) <= 2
    assert abs(last.descriptors - first.descriptors) <= 2
    assert report.samples[-1].own_mb - report.samples[len(report.samples) // 4].own_mb < 8
    # A camera killed or frozen is lost and comes back, a gallery open to all degrades and recovers.
    assert report.events["camera_lost"] >= 4 and report.events["camera_back"] >= 4
    assert report.events["degraded"] >= 1 and report.events["recovered"] >= 1


def test_growth_is_the_slope_that_outliers_do_not_move() -> None:
    assert slope([(0.0, 5.0)]) == 0.0
    assert slope([(float(n), 5.0 + 2.0 * n) for n in range(20)]) == 2.0
    assert slope([(float(n), 900.0 if n == 7 else 5.0) for n in range(20)]) == 0.0
