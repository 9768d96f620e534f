"""The strangers remembered: looked up and added to in memory, without a wait; written when there is time.

What is in memory is what counts; the file follows. Where the disk fails, what has changed waits for the next try,
and there is never more of it than ``[strangers] most`` allows.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from edge_runtime.config import StrangersConfig
from edge_runtime.errors import UnknownsError
from edge_runtime.events.clock import LogClock
from edge_runtime.storage.database import BrokenError, set_aside
from edge_runtime.storage.sqlite import is_damage
from edge_runtime.system.closing import Closing
from edge_runtime.system.log import log
from edge_runtime.types import Floats
from edge_runtime.unknowns.crowd import Crowd, Unknown
from edge_runtime.unknowns.file import Kind, UnknownsFile, delete_aside
from edge_runtime.unknowns.linkage import Linkage
from edge_runtime.unknowns.memory import Recognised, Sighting

IGNORED_LONGER = 6.0
"""Who is ignored is kept so many times ``keep_days``: a neighbour back from a holiday need not be ignored again."""
_NOTED = 0.02
"""So much of ``keep_days`` passes before that alone is written."""
_DAY_S = 86_400.0
REPAIR = "familiar repair"
"""The command that takes back what is good of a file that was set aside."""


class _SetAsideError(UnknownsError):
    """The file was broken and is out of the way; the next try makes another."""


class UnknownsBook(Closing):
    """Safe to use from several threads; :meth:`recognise` and :meth:`remember` never wait for the disk.

    Attributes:
        path: of the file.
        damage: what of the file is or was damaged, and the command that saves the rest; None: nothing is known to be.
    """

    damage: str | None = None

    def __init__(
        self,
        path: Path,
        device_key: bytes,
        config: StrangersConfig,
        kind: Kind | None = None,
        linkage: Linkage | None = None,
    ) -> None:
        """Read what there is; a file is made with the first stranger.

        A file that is broken, or sealed with another device key, is set aside; one of another encoder is emptied.

        Args:
            path: of the file, mode 0600.
            device_key: 32 bytes.
            config: how long, how many, and what a visit is.
            kind: of the embeddings in use; None: whatever the file holds, to look and delete alone.
            linkage: how alike two sightings of one stranger are; None: nobody is to be remembered.

        Raises:
            UnknownsError: the file cannot be opened at the moment, or others may read it.
        """
        self.path = path
        self._device_key, self._config, self._kind = device_key, config, kind
        self._linkage = linkage or Linkage.none()
        self._lock = threading.Lock()
        """Guards what is in memory, for moments only."""
        self._disk = threading.RLock()
        """Guards the file, for as long as a disk takes."""
        self._file: UnknownsFile | None = None
        self._written: dict[str, Unknown] = {}
        self._written_clock_s = 0.0
        self._crops: dict[str, bytes] = {}
        self._crowd = self._new_crowd(())
        self._clock = LogClock(0.0, None, config.keep_days * _DAY_S / 2)
        self._closed = False
        self._unclean = False
        """Whether something of somebody forgotten may still be on the disk."""
        with self._disk:
            self._open()
        self.expire()

    @property
    def ignoring(self) -> bool:
        """Whether anybody is ignored, so that nothing should be said of somebody before it is known who they are."""
        return self._ignoring

    def recognise(self, embedding: Floats, first_s: float) -> Recognised:
        """Who somebody unknown is; see ``Crowd.recognise``."""
        with self._lock:
            return self._crowd.recognise(embedding, first_s)

    def remember(self, sighting: Sighting, hint: str | None = None) -> Recognised | None:
        """Keep a sighting in mind, for :meth:`write` to store; see ``Crowd.take``."""
        with self._lock:
            stranger = self._crowd.take(sighting, self._tick(), hint)
            if stranger is None:
                return None
            self._ignoring = self._crowd.ignoring
            view = next((one for one in stranger.views if one.embedding is sighting.embedding), None)
            if view is not None and sighting.crop is not None:
                self._crops[view.view_id] = sighting.crop
            return Recognised(stranger.stranger_id, stranger.visits, stranger.ignored)

    def strangers(self) -> list[Unknown]:
        """Everybody remembered, the latest seen first."""
        with self._lock:
            return self._crowd.strangers()

    def find(self, stranger_id: str) -> Unknown:
        """The one of that id.

        Raises:
            MissingError: nobody remembered has it.
        """
        with self._lock:
            return self._crowd.find(stranger_id)

    def crops(self, stranger_id: str) -> dict[str, bytes]:
        """The JPEGs kept of a stranger's views, by view id.

        Raises:
            UnknownsError: they cannot be read.
        """
        self.write()
        with self._disk, self._guarded():
            return self._opened().crops(stranger_id) if self.path.exists() else {}

    def ignore(self, stranger_id: str, ignored: bool) -> Unknown:
        """Take no interest in somebody, or take it again; on disk when this returns.

        Raises:
            MissingError: nobody remembered has that id.
            UnknownsError: it cannot be written; it holds for as long as this runs.
        """
        with self._lock:
            stranger = self._crowd.ignore(stranger_id, ignored)
            self._ignoring = self._crowd.ignoring
        self.write()
        return stranger

    def forget(self, stranger_ids: Iterable[str]) -> list[Unknown]:
        """Delete strangers, from the file, its write-ahead log and what was set aside; gone when this returns.

        Raises:
            MissingError: nobody remembered has one of these ids.
            UnknownsError: the file cannot be written; the next :meth:`write` does it.
        """
        with self._lock:
            strangers = [self._crowd.find(stranger_id) for stranger_id in stranger_ids]
            for stranger in strangers:
                self._crowd.dismiss(stranger.stranger_id)
            self._ignoring = self._crowd.ignoring
        self._unclean = True
        self.write()
        return strangers

    def expire(self) -> None:
        """Forget, in memory, whoever was not seen for too long; :meth:`write` deletes them."""
        with suppress(OSError):  # it is tried again
            delete_aside(self.path, older_than_days=self._config.keep_days)
        keep_s = self._config.keep_days * _DAY_S
        with self._lock:
            now_s = self._tick()
            self._crowd.expire(now_s - keep_s, now_s - IGNORED_LONGER * keep_s)
            self._ignoring = self._crowd.ignoring

    def write(self) -> None:
        """Make the file what memory is, and leave nothing behind of who is gone; nothing changed, nothing is written.

        Raises:
            UnknownsError: it cannot be written; what has changed waits for the next time.
        """
        with self._disk:
            if self._file is not None and not self._file.in_place:
                log.warning(f"{self.path}: the strangers' file was moved or deleted; what it held is forgotten")
                self._let_go()
                self._open()
            with self._lock:
                now = {one.stranger_id: one for one in self._crowd.strangers()}
                used = {view.view_id for one in now.values() for view in one.views}
                self._crops = {key: crop for key, crop in self._crops.items() if key in used}
                crops = dict(self._crops)
                clock = self._tick(), self._clock.wall_s
            changed: dict[str, Unknown | None] = {
                key: one for key, one in now.items() if self._written.get(key) is not one
            }
            changed |= dict.fromkeys(self._written.keys() - now.keys())
            # Time itself is written too, or what is out of date would be kept by a device that restarts often.
            aged = bool(now) and clock[0] - self._written_clock_s > _NOTED * self._config.keep_days * _DAY_S
            if self._closed or not (changed or self._unclean or aged):
                return
            try:
                self._store(changed, crops, clock)
            except _SetAsideError:
                self._store(now, crops, clock)
            self._written, self._written_clock_s = now, clock[0]
            with self._lock:
                for key in crops:
                    self._crops.pop(key, None)

    def close(self) -> None:
        """Write what waits, and let go of the file; may be called again."""
        with self._disk:
            try:
                self.write()
            except UnknownsError as error:
                log.warning("strangers seen last are not remembered", reason=str(error))
            self._closed = True
            self._let_go()

    def reseal(self, device_key: bytes) -> None:
        """Seal everything anew with another device key; see ``UnknownsFile.reseal``.

        Raises:
            UnknownsError: it cannot be written.
        """
        with self._disk, self._guarded():
            if self.path.exists():
                self._opened().reseal(device_key)
        self._device_key = device_key

    def _new_crowd(self, strangers: Iterable[Unknown]) -> Crowd:
        crowd = Crowd(self._linkage, self._config.most, self._config.visit_s, strangers)
        self._ignoring = crowd.ignoring
        return crowd

    def _open(self) -> None:
        """Take up what the file holds instead of what memory does."""
        strangers: list[Unknown] = []
        if self.path.exists():
            try:
                with self._guarded():
                    file = self._opened()
                    strangers = file.strangers()
                    if damaged := file.damaged:
                        self.damage = (
                            f"{self.path}: {damaged} rows are damaged and passed over; stop the daemon, then {REPAIR} "
                            "deletes them"
                        )
                        log.warning(self.damage)
                    self._clock = LogClock(file.clock_s, file.wall_s, self._config.keep_days * _DAY_S / 2)
            except _SetAsideError:
                pass
        self._written = {one.stranger_id: one for one in strangers}
        self._written_clock_s = self._clock.clock_s
        with self._lock:
            self._crowd = self._new_crowd(strangers)

    def _store(
        self,
        changed: Mapping[str, Unknown | None],
        crops: Mapping[str, bytes],
        clock: tuple[float, float | None],
    ) -> None:
        with self._guarded():
            if self.path.exists() or any(changed.values()):
                file = self._opened()
                file.write(changed, crops, clock)
                self._unclean |= None in changed.values()
                if self._unclean and not file.clean():
                    return  # another program reads what was deleted; the next write tries again
            if self._unclean:
                delete_aside(self.path)
                self._unclean = False

    def _opened(self) -> UnknownsFile:
        if self._file is None:
            self._file = UnknownsFile(self.path, self._device_key, self._kind)
            if self._kind is not None and self._file.kind != self._kind:
                count = self._file.become(self._kind)
                log.warning(
                    f"{self.path}: {count} strangers are forgotten, for the encoder that told them apart is gone"
                )
        return self._file

    def _tick(self) -> float:
        return self._clock.tick(time.time(), time.monotonic())

    @contextmanager
    def _guarded(self) -> Iterator[None]:
        """Turn what disk and SQLite say into one line; a broken file is set aside, and the next write makes another."""
        try:
            yield
        except (BrokenError, sqlite3.Error, OSError) as error:
            self._let_go()
            if isinstance(error, BrokenError) or is_damage(error):
                aside = set_aside(self.path)
                found = f"{self.path}: expected remembered strangers, found {error}; it is set aside as {aside.name}"
                if getattr(error, "fault", "damaged") == "damaged":
                    found += f"; stop the daemon, then {REPAIR} takes back what is good of it"
                    self.damage = found
                log.warning(found)
                raise _SetAsideError(found) from error
            raise UnknownsError(
                f"{self.path}: strangers cannot be stored or read ({getattr(error, 'strerror', None) or error}); "
                "make room on the disk, and see that the file is yours to write"
            ) from error

    def _let_go(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None


def reseal(path: Path, old_key: bytes, new_key: bytes, config: StrangersConfig) -> None:
    """Take strangers over to a new device key, without a daemon; those that cannot be opened are set aside.

    Raises:
        UnknownsError: they cannot be written.
    """
    with UnknownsBook(path, old_key, config) as book:
        book.reseal(new_key)
