"""Where a search looks closely: at faces, at motion, at the rest in turns, never at more than it may."""

from __future__ import annotations

import numpy as np
import pytest

from edge_runtime.detectors._windows import cover
from edge_runtime.tracking.gaze import RECENT_S, Gaze

HD_HW = (1080, 1920)
EVERYWHERE = cover(HD_HW, (320, 240), 1.43)
EVERY = set(map(tuple, EVERYWHERE))


def cells(*places):
    """Motion in these (row, column) of 24 x 40."""
    moved = np.zeros((24, 40), bool)
    for place in places:
        moved[place] = True
    return moved


def box(x, y, width):
    return np.array([x, y, x + width, y + 1.3 * width], np.float32)


def shows(windows, xyxy, edge=0.0):
    room = edge * (xyxy[2] - xyxy[0])
    return ((windows[:, :2] <= xyxy[:2] - room) & (windows[:, 2:] >= xyxy[2:] + room)).all(1)


def test_where_the_whole_frame_is_close_enough_there_is_no_window():
    gaze = Gaze(4)
    gaze.note(cells((3, 3)), 0.0)
    assert len(gaze.windows(cover((240, 320), (320, 240), 1.43), [box(5, 5, 30)], 0.0)) == 0


def test_never_is_never():
    gaze = Gaze(0)
    gaze.note(cells((3, 3)), 0.0)
    assert len(gaze.windows(EVERYWHERE, [box(5, 5, 30)], 0.0)) == 0


def test_an_empty_room_is_looked_at_part_by_part():
    gaze = Gaze(4)
    looks = np.concatenate([gaze.windows(EVERYWHERE, [], float(k)) for k in range(len(EVERYWHERE))])
    assert sorted(map(tuple, looks.tolist())) == sorted(map(tuple, EVERYWHERE.tolist()))


def test_what_begins_to_move_is_looked_at_at_once_and_again_for_a_while_but_not_in_every_search():
    gaze = Gaze(4)
    x, y = 20.5 * 48, 11 * 45
    face = box(x - 15, y - 20, 30)
    shown = []
    for k in range(16):
        if k < 8:
            gaze.note(cells((10, 20), (11, 20)), 5.0 + k / 8)
        windows = gaze.windows(EVERYWHERE, [], 5.0 + k / 8)
        # What is looked at in turns may show it too; it is last.
        shown.append(bool(shows(windows[:1], face, 0.5).any() and len(windows) and tuple(windows[0]) not in EVERY))
    assert shown[0]
    looks = [k for k, one in enumerate(shown) if one]
    assert max(np.diff(looks)) <= 4 and len(looks) <= 6
    assert looks[-1] / 8 <= 7 / 8 + RECENT_S


def test_what_begins_to_move_comes_before_what_goes_on():
    gaze = Gaze(1)
    for k in range(8):
        gaze.note(cells((2, 3), (3, 3)), k / 8)
        gaze.windows(EVERYWHERE, [], k / 8)
    gaze.note(cells((2, 3), (3, 3), (20, 30), (21, 30)), 1.0)
    assert shows(gaze.windows(EVERYWHERE, [], 1.0)[:1], box(30.5 * 48 - 15, 21 * 45 - 20, 30)).all()


@pytest.mark.parametrize(("strain", "most"), [(1.0, 5), (1.6, 3), (4.0, 1)])
def test_a_search_has_few_windows_fewer_on_a_machine_without_time(strain, most):
    gaze = Gaze(4)
    gaze.note(np.ones((24, 40), bool), 0.0)
    rng = np.random.default_rng(0)
    faces = [box(x, y, 30) for x, y in rng.uniform(0, 1, (12, 2)) * [1800, 1000]]
    for k in range(5):
        windows = gaze.windows(EVERYWHERE, faces, k / 8, strain)
        assert len(windows) <= most
        assert (windows[:, :2] >= 0).all() and (windows[:, 2:] <= [1920, 1080]).all()
        assert (windows[:, 2:] > windows[:, :2]).all()


def test_a_new_scene_is_looked_at_everywhere_within_a_few_searches():
    gaze = Gaze(4)
    gaze.note(np.ones((24, 40), bool), 0.0)
    looks = np.concatenate([gaze.windows(EVERYWHERE, [], k / 8) for k in range(8)])
    rng = np.random.default_rng(1)
    for x, y in rng.uniform(0, 1, (200, 2)) * [1920 - 40, 1080 - 52]:
        assert shows(looks, box(x, y, 40)).any()


def test_somebody_who_walks_is_looked_at_from_the_head_down():
    gaze = Gaze(1)
    gaze.note(cells(*((row, column) for row in range(5, 22) for column in range(10, 15))), 0.0)
    head = box(12.5 * 48 - 20, 5 * 45, 40)
    assert shows(gaze.windows(EVERYWHERE, [], 0.0)[:1], head).all()


def test_small_faces_stay_in_view_and_large_ones_need_no_window():
    gaze = Gaze(4)
    small, large = box(700, 400, 30), box(1200, 300, 400)
    for k in range(6):
        windows = gaze.windows(EVERYWHERE, [small, large], k / 8)
        assert shows(windows[:1], small, 1.0).all()
        assert all(tuple(window) in EVERY for window in windows[1:])


def test_while_somebody_is_followed_the_rest_has_its_turns():
    gaze = Gaze(4)
    looks = [gaze.windows(EVERYWHERE, [box(700, 400, 30)], k / 8) for k in range(4 * len(EVERYWHERE))]
    assert {tuple(window) for windows in looks for window in windows} >= EVERY
    assert sum(map(len, looks)) <= 1.4 * len(looks)


def test_faces_side_by_side_share_a_window_and_many_take_turns():
    gaze = Gaze(4)
    assert len(gaze.windows(EVERYWHERE, [box(700, 400, 30), box(760, 410, 30)], 0.0)) == 1
    apart = [box(x, y, 30) for x in (100, 600, 1100, 1600) for y in (100, 500, 900)]
    looks = [gaze.windows(EVERYWHERE, apart, k / 8)[:4] for k in range(12)]
    assert all(any(shows(windows, face).any() for windows in looks) for face in apart)


def test_a_face_of_middling_size_gets_a_window_with_room():
    gaze = Gaze(4)
    face = box(800, 300, 140)
    assert shows(gaze.windows(EVERYWHERE, [face], 0.0)[:1], face, 0.4).all()
