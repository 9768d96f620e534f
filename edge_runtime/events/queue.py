"""Events that wait to be stored: bounded, and exact about what it had to give up. For use under a lock."""

from __future__ import annotations

import dataclasses
from collections import deque

from edge_runtime.gallery.directory import Directory
from edge_runtime.types import Event

_CROP_BYTES = 16 << 20

Waiting = tuple[Event, Directory]
"""An event, and who was who when it was made."""


class EventQueue:
    """First in, first out; the oldest are lost where there are too many.

    Attributes:
        lost: events given up.
    """

    def __init__(self, capacity: int, crop_bytes: int = _CROP_BYTES) -> None:
        """Start empty.

        Args:
            capacity: events held at most.
            crop_bytes: of their crops; beyond, events wait without one.
        """
        self.lost = 0
        self._capacity, self._crop_bytes = capacity, crop_bytes
        self._events: deque[Waiting] = deque()
        self._held_bytes = 0

    def __len__(self) -> int:
        return len(self._events)

    def put(self, event: Event, directory: Directory) -> None:
        """Take an event."""
        size = len(event.crop or b"")
        if size and self._held_bytes + size > self._crop_bytes:
            event, size = dataclasses.replace(event, crop=None), 0
        self._held_bytes += size
        self._events.append((event, directory))
        self._trim()

    def take(self, limit: int) -> list[Waiting]:
        """The oldest, so many at most."""
        return [self._pop() for _ in range(min(limit, len(self._events)))]

    def give_back(self, events: list[Waiting]) -> None:
        """Put back what :meth:`take` gave, before everything else."""
        self._events.extendleft(reversed(events))
        self._held_bytes += sum(len(event.crop or b"") for event, _ in events)
        self._trim()

    def _pop(self) -> Waiting:
        waiting = self._events.popleft()
        self._held_bytes -= len(waiting[0].crop or b"")
        return waiting

    def _trim(self) -> None:
        while len(self._events) > self._capacity:
            self._pop()
            self.lost += 1
