"""The same picture again and again."""

from __future__ import annotations

from edge_runtime.tracking.freeze import FreezeDetector
from edge_runtime.types import Frame
from tests.builders import make_pixels


def frame(seed: int, at_s: float, height: int = 120) -> Frame:
    return Frame(make_pixels(height, 160, seed), "c", 0, at_s, at_s)


def test_time_is_counted_while_the_picture_is_the_same() -> None:
    stillness = FreezeDetector()
    assert stillness.seconds(frame(1, 10.0)) == 0
    assert not stillness.same
    assert stillness.seconds(frame(1, 12.0)) == 2.0
    assert stillness.same
    assert stillness.seconds(frame(2, 13.0)) == 0
    assert not stillness.same
    assert stillness.seconds(frame(2, 13.5, height=240)) == 0


def test_noise_of_one_level_in_every_row_is_life() -> None:
    stillness = FreezeDetector()
    first, second = frame(1, 0.0), frame(1, 9.0)
    stillness.seconds(first)
    second.pixels[:, 80] ^= 1
    assert stillness.seconds(second) == 0


def test_a_new_opening_counts_anew_but_remembers_the_picture() -> None:
    stillness = FreezeDetector()
    stillness.seconds(frame(1, 0.0))
    stillness.reopened()
    assert stillness.seconds(frame(1, 50.0)) == 0
    assert stillness.same
    assert stillness.seconds(frame(1, 51.0)) == 1.0


def test_the_smallest_pictures_can_be_still() -> None:
    stillness = FreezeDetector()
    stillness.seconds(frame(1, 0.0, height=4))
    assert stillness.seconds(frame(1, 1.0, height=4)) == 1.0
    assert stillness.seconds(frame(2, 2.0, height=4)) == 0
