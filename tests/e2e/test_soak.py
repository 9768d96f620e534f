"""The soak in short: every fault once, and the daemon as it was before; ``make soak`` is the long form."""

from __future__ import annotations

from pathlib import Path

from tests.soak import FAULTS, Sample, growth, slope, soak


def test_every_fault_once_leaves_the_daemon_as_it_was(tmp_path: Path) -> None:
    report = soak(1200, tmp_path, rounds=2 * len(FAULTS), fps=25)
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
    assert slope([[(0.0, 5.0)]]) == 0.0
    line = [(float(n), 5.0 + 2.0 * n) for n in range(20)]
    assert slope([line]) == 2.0
    assert slope([[*line[:10], (10.0, 900.0), *line[11:]], [(0.0, 70.0), (4.0, 78.0)]]) == 2.0


def test_growth_is_the_daemons_and_that_of_captures_while_they_live() -> None:
    def sample(frames: int, daemon: float, captures: dict[int, float]) -> Sample:
        return Sample(frames, 0.0, daemon + sum(captures.values()), captures, 8, 29)

    # A capture process that is started anew and is larger than the one before leaks nothing.
    calm = [sample(1000 * n, 80.0, {1: 50.0, 2 + n // 5: 40.0 + n // 5}) for n in range(20)]
    assert growth(calm) == 0.0
    leaking = [sample(1000 * n, 80.0 + n, {1: 50.0, 2: 40.0 + 0.5 * n}) for n in range(20)]
    assert 0.001 < growth(leaking) <= 0.002
