"""The memory two processes share, both ends in this one."""

from __future__ import annotations

import gc
import mmap
import os
import socket

import numpy as np
import pytest

from edge_runtime.capture import channel
from edge_runtime.capture.channel import HELD, SLOTS, DrawnSlots, Message, ShownSlots
from tests.builders import make_pixels

SHAPE = (48, 64, 3)
BYTES = 48 * 64 * 3
FIRST = 2 * SLOTS


@pytest.fixture
def drawn() -> DrawnSlots:
    return DrawnSlots(BYTES, FIRST)


@pytest.fixture
def shown(drawn: DrawnSlots) -> ShownSlots:
    return ShownSlots(drawn.descriptor, BYTES)


def draw(drawn: DrawnSlots, seed: int) -> int:
    slot = drawn.free.pop()
    drawn.picture(slot, *SHAPE[:2])[:] = make_pixels(*SHAPE[:2], seed)
    return slot


def test_what_one_end_draws_the_other_sees_without_a_copy(drawn: DrawnSlots, shown: ShownSlots) -> None:
    slot = draw(drawn, 1)
    picture = shown.take(slot, *SHAPE[:2])
    assert np.array_equal(picture, make_pixels(*SHAPE[:2], 1))
    drawn.picture(slot, *SHAPE[:2])[0, 0] = (1, 2, 3)
    assert picture[0, 0].tolist() == [1, 2, 3]
    with pytest.raises(ValueError, match="read-only"):
        picture[0, 0] = 0


def test_a_slot_comes_back_with_the_last_array_over_it(drawn: DrawnSlots, shown: ShownSlots) -> None:
    slot = draw(drawn, 1)
    face = shown.take(slot, *SHAPE[:2])[10:20, 10:20][::2]
    gc.collect()
    assert shown.released() == []
    del face
    assert shown.released() == [slot]
    assert shown.released() == []
    drawn.release([slot])
    assert sorted(drawn.free) == list(range(FIRST, FIRST + SLOTS))


def test_whoever_keeps_pictures_gets_copies_and_never_starves_the_camera(drawn: DrawnSlots, shown: ShownSlots) -> None:
    kept = []
    for seed in range(20):
        kept.append(shown.take(draw(drawn, seed), *SHAPE[:2]))
        drawn.release(shown.released())
        assert len(drawn.free) >= SLOTS - HELD
    for seed, picture in enumerate(kept):
        assert np.array_equal(picture, make_pixels(*SHAPE[:2], seed))


def test_slots_of_an_earlier_memory_free_none_of_a_later_one(drawn: DrawnSlots) -> None:
    drawn.free.clear()
    drawn.release([0, FIRST - 1, FIRST + SLOTS, FIRST + 1, FIRST + 1])
    assert drawn.free == [FIRST + 1]


def test_pictures_outlive_both_ends(drawn: DrawnSlots) -> None:
    shown = ShownSlots(drawn.descriptor, BYTES)
    picture = shown.take(draw(drawn, 3), *SHAPE[:2])
    drawn.close()
    del shown, drawn
    gc.collect()
    assert np.array_equal(picture, make_pixels(*SHAPE[:2], 3))


def test_memory_that_could_be_cut_or_is_too_small_is_not_mapped(drawn: DrawnSlots) -> None:
    with pytest.raises(PermissionError):
        os.ftruncate(drawn.descriptor, 0)
    with pytest.raises(ValueError, match="found memory of"):
        ShownSlots(drawn.descriptor, BYTES + mmap.PAGESIZE)
    unsealed = os.memfd_create("unsealed", os.MFD_ALLOW_SEALING)
    try:
        os.ftruncate(unsealed, 1 << 20)
        with pytest.raises(ValueError, match="cannot shrink"):
            ShownSlots(unsealed, BYTES)
    finally:
        os.close(unsealed)


def test_a_picture_of_another_size_is_refused(drawn: DrawnSlots, shown: ShownSlots) -> None:
    slot = draw(drawn, 1)
    for height, width in ((48, 65), (0, 0), (1 << 40, 1)):
        with pytest.raises(ValueError, match="expected a picture"):
            shown.take(slot, height, width)


def test_messages_come_over_whole_with_their_descriptor(drawn: DrawnSlots) -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        channel.send(theirs, Message(channel.MEMORY, height=BYTES, descriptor=drawn.descriptor))
        channel.send(theirs, Message(channel.FRAME, 9, 77, 48, 64, 1.5, 2.5, 3))
        channel.send(theirs, Message(channel.ERROR, text="müde".encode()))
        theirs.send(b"?")
        memory, frame, error = (channel.receive(ours) for _ in range(3))
        assert memory is not None and frame is not None and error is not None
        assert os.fstat(memory.descriptor).st_size == os.fstat(drawn.descriptor).st_size
        assert not os.get_inheritable(memory.descriptor)
        os.close(memory.descriptor)
        assert frame == Message(channel.FRAME, 9, 77, 48, 64, 1.5, 2.5, 3)
        assert error.text.decode() == "müde"
        with pytest.raises(ValueError, match="found 1"):
            channel.receive(ours)
        channel.ask(ours, [3, 4])
        assert channel.asked(theirs) == [3, 4]
        theirs.close()
        assert channel.receive(ours) is None
    drawn.close()
