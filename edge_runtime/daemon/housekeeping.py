"""The thread for what may have to wait for a disk or for another program: the gallery and the configuration."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from edge_runtime.errors import FamiliarError
from edge_runtime.system.log import log
from edge_runtime.system.memory import give_back

_CHORES_BETWEEN = 12
"""So many chores from one giving back of memory to the next, which takes a millisecond or a few."""


class Housekeeping:
    """Refreshes again and again, and reloads when asked to."""

    def __init__(
        self, refresh: Callable[[], object], reload: Callable[[], object], every_s: float, patience_s: float
    ) -> None:
        """Start nothing yet.

        Args:
            refresh: called every ``every_s``.
            reload: called instead once it was asked for.
            every_s: pause between two chores.
            patience_s: how long the end waits for a chore that is not done.
        """
        self._refresh = refresh
        self._reload = reload
        self._every_s = every_s
        self._patience_s = patience_s
        self._chores = threading.Event()
        self._reload_wanted = False

    def ask_reload(self) -> None:
        """Reload soon; may be called from a signal handler."""
        self._reload_wanted = True
        self._chores.set()

    @contextmanager
    def running(self) -> Iterator[None]:
        """Meanwhile the thread runs."""
        over = threading.Event()
        thread = threading.Thread(target=self._run, args=(over,), name="housekeeping", daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            self._chores.set()
            thread.join(self._patience_s)

    def _run(self, over: threading.Event) -> None:
        for chore in itertools.count(1):
            if chore % _CHORES_BETWEEN == 0:
                give_back()
            self._chores.wait(self._every_s)
            self._chores.clear()
            if over.is_set():
                return
            try:
                if self._reload_wanted:
                    self._reload_wanted = False
                    self._reload()
                else:
                    self._refresh()
            except FamiliarError as error:
                log.warning("what was in force stays so", reason=str(error))
            except Exception as error:  # a chore that fails must not be the last one
                log.error("housekeeping failed", reason=f"{type(error).__name__}: {error}")
