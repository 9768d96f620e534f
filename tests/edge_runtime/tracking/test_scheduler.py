import pytest

from edge_runtime.tracking.scheduler import SLOWEST_S, DetectionScheduler, throttled


def run(pace, seconds, fps=25.0, search_s=0.0, frame_s=0.0, step=1, start=0, live=False):
    """Frames at a camera's pace, every ``step``-th of them taken; how many searches a second there were."""
    searches = 0
    for seq in range(start, start + round(seconds * fps), step):
        due = pace.due(seq, seq / fps, live)
        if due:
            pace.searched()
            searches += 1
        pace.measure(due, search_s if due else frame_s)
    return searches / seconds


@pytest.mark.parametrize(("fps", "every"), [(5, 1), (10, 1), (15, 2), (25, 3), (30, 4), (60, 7)])
def test_without_a_number_faces_are_looked_for_about_eight_times_a_second(fps, every):
    pace = DetectionScheduler()
    run(pace, 4, fps)
    assert pace.every == every


def test_a_clip_is_searched_alike_however_slow_the_machine_is():
    slow, quick = DetectionScheduler(3), DetectionScheduler(3)
    assert run(slow, 10, search_s=2.0, frame_s=0.1) == run(quick, 10)
    slow.throttled = "hot"
    assert run(slow, 10, search_s=2.0) == pytest.approx(25 / 3, abs=0.2)
    assert slow.degraded is None


def test_a_camera_is_searched_as_asked_while_there_is_time():
    pace = DetectionScheduler(3)
    assert run(pace, 10, search_s=0.02, frame_s=0.001, live=True) == pytest.approx(25 / 3, abs=0.2)
    assert pace.degraded is None


def test_a_slow_machine_searches_more_rarely_and_says_so():
    pace = DetectionScheduler(3)
    rate = run(pace, 20, search_s=0.15, frame_s=0.002, live=True)
    assert 3 < rate < 5
    assert rate * 0.15 + 25 * 0.002 < 0.75
    assert "instead of 8.3" in pace.degraded and "150 ms" in pace.degraded
    run(pace, 20, search_s=0.01, frame_s=0.002, start=500, live=True)
    assert pace.degraded is None


def test_it_never_searches_so_rarely_that_everybody_would_have_left():
    pace = DetectionScheduler()
    # A search takes longer than all frames in between: the camera drops what is not taken.
    assert run(pace, 60, search_s=5.0, frame_s=0.05, live=True) > 0.9 / SLOWEST_S


def test_cameras_share_the_machine():
    alone, shared = DetectionScheduler(3), DetectionScheduler(3, cameras=4)
    assert run(shared, 20, search_s=0.06, live=True) < run(alone, 20, search_s=0.06, live=True)


def test_frames_that_were_lost_have_passed():
    pace = DetectionScheduler(6)
    assert run(pace, 12, step=3) == pytest.approx(25 / 6, abs=0.2)


def test_a_hot_machine_searches_half_as_often_and_says_why():
    pace = DetectionScheduler(3)
    pace.throttled = "the processor is hot"
    assert run(pace, 10, search_s=0.01, live=True) == pytest.approx(25 / 6, abs=0.3)
    assert "hot" in pace.degraded
    pace.throttled = None
    assert run(pace, 10, search_s=0.01, start=250, live=True) == pytest.approx(25 / 3, abs=0.3)
    assert pace.degraded is None


def test_nothing_to_read_is_not_throttled(tmp_path):
    assert throttled(tmp_path) is None


def test_the_firmware_says_what_is_so_now(tmp_path):
    flags = tmp_path / "devices/platform/soc/soc:firmware/get_throttled"
    flags.parent.mkdir(parents=True)
    flags.write_text("50000\n")
    assert throttled(tmp_path) is None
    flags.write_text("50005\n")
    assert "under-voltage, throttled" in throttled(tmp_path)
    flags.write_text("what\n")
    assert throttled(tmp_path) is None


def test_a_zone_at_its_limit_is_throttled(tmp_path):
    zone = tmp_path / "class/thermal/thermal_zone0"
    zone.mkdir(parents=True)
    (zone / "temp").write_text("79000\n")
    assert throttled(tmp_path) is None
    (zone / "trip_point_0_type").write_text("critical\n")
    (zone / "trip_point_0_temp").write_text("70000\n")
    (zone / "trip_point_1_type").write_text("passive\n")
    (zone / "trip_point_1_temp").write_text("80000\n")
    assert throttled(tmp_path) is None
    (zone / "temp").write_text("81000\n")
    assert "81 °C, slowed down from 80" in throttled(tmp_path)
