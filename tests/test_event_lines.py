"""Waiting for an event ends, whatever else a daemon has to say."""

from __future__ import annotations

import os
import threading
import time

import pytest

from tests.event_lines import EventLines


def test_other_events_do_not_prolong_the_wait() -> None:
    read, write = os.pipe()
    over = threading.Event()

    def chatter() -> None:
        while not over.wait(0.02):
            os.write(write, b'{"kind": "appeared"}\n')

    thread = threading.Thread(target=chatter)
    thread.start()
    try:
        lines, began_s = EventLines(read), time.monotonic()
        assert lines.next_event(("appeared",), 10.0) == {"kind": "appeared"}
        with pytest.raises(AssertionError, match=r"none of .*degraded.* came"):
            lines.next_event(("degraded",), 0.3)
        assert time.monotonic() - began_s < 10.0
    finally:
        over.set()
        thread.join()
        os.close(read)
        os.close(write)
