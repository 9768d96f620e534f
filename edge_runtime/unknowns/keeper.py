"""Writing the strangers' book while a daemon runs: on a thread of its own, a few times a minute at most."""

from __future__ import annotations

import threading
from collections.abc import Callable

from edge_runtime.errors import FamiliarError
from edge_runtime.system.closing import Closing
from edge_runtime.types import Floats
from edge_runtime.unknowns.book import UnknownsBook
from edge_runtime.unknowns.memory import Recognised, Sighting

WRITE_EVERY_S = 10.0
"""What is seen within this time is written together; a power cut costs no more than that."""
_LOOK_EVERY_S = 600.0
"""How often somebody's time is looked at where nobody comes."""


class UnknownsKeeper(Closing):
    """What a pipeline remembers strangers with; owns the book."""

    def __init__(
        self,
        book: UnknownsBook,
        on_trouble: Callable[[str | None], None],
        knows_people: Callable[[], bool] = lambda: True,
        write_every_s: float = WRITE_EVERY_S,
    ) -> None:
        """Start the thread.

        Args:
            book: written and closed by this.
            on_trouble: called from the thread with why nothing can be stored, and with None when it can.
            knows_people: whether the gallery can be read; without it everybody known would be a stranger.
            write_every_s: see ``WRITE_EVERY_S``.
        """
        self.book = book
        self._on_trouble, self._knows_people, self._write_every_s = on_trouble, knows_people, write_every_s
        self._news, self._closing = threading.Event(), threading.Event()
        # A daemon thread: a sync that never returns must not keep the process alive.
        self._thread = threading.Thread(target=self._run, name="strangers", daemon=True)
        self._thread.start()

    @property
    def ignoring(self) -> bool:
        """See ``UnknownsBook.ignoring``."""
        return self.book.ignoring

    def recognise(self, embedding: Floats, first_s: float) -> Recognised | None:
        """See ``memory.UnknownsMemory``."""
        return self.book.recognise(embedding, first_s) if self._knows_people() else None

    def remember(self, sighting: Sighting, hint: str) -> Recognised | None:
        """See ``memory.UnknownsMemory``; it is written soon."""
        if not self._knows_people():
            return None
        seen = self.book.remember(sighting, hint)
        self._news.set()
        return seen

    def close(self, timeout_s: float = 1.0) -> None:
        """Write what waits, for at most ``timeout_s``; may be called again."""
        self._closing.set()
        self._news.set()
        self._thread.join(timeout_s)

    def _run(self) -> None:
        while not self._closing.is_set():
            self._news.wait(_LOOK_EVERY_S)
            self._news.clear()
            self._closing.wait(self._write_every_s)
            try:
                self.book.expire()
                self.book.write()
            except Exception as error:  # whatever it is, strangers are not worth more than the daemon
                told = str(error) if isinstance(error, FamiliarError) else f"{type(error).__name__}: {error}"
                self._on_trouble(told)
                self._news.set()  # another try after the same pause
            else:
                self._on_trouble(None)
        self.book.close()
