"""Snapshots and clips beside the log of events: one sealed file each, found by the token that stands with its event."""

from __future__ import annotations

import errno
import json
import os
import re
import secrets
import threading
from collections.abc import Collection, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Literal

from edge_runtime.events.record import Record, key_of
from edge_runtime.gallery.directory import Directory
from edge_runtime.storage.files import give_to_owner, write_new
from edge_runtime.storage.keys import seal, unseal

FootageKind = Literal["snapshot", "clip"]

_NAME = re.compile(r"(\d{12}-[0-9a-f]{8})\.(snapshot|clip)")
_DRAFT = ".new"
_SPARE_BYTES = 64 << 20
_SPARE_SHARE = 0.1
"""Left free on the disk, whichever is less: events come before pictures."""
_SETTLE_S: dict[FootageKind, float] = {"snapshot": 3.0, "clip": 15.0}
"""How long a reader waits at most for what is being made."""


class Footage:
    """The folder of one log's snapshots and clips; any thread may use it.

    A file's first line names the tracks of everybody in it, so that forgetting a person also deletes the pictures of
    others that show them. The rest is sealed with the key that the event's crop is sealed with.
    """

    def __init__(self, log: Path) -> None:
        """Look at nothing yet; the folder is made with the first file.

        Args:
            log: path of the log of events; the folder lies beside it.
        """
        self.folder = log.with_name(f"{log.stem}-pictures")
        self._changed = threading.Condition()
        """Guards names; never held while the disk works."""
        self._writing = threading.Lock()
        self._due: set[tuple[FootageKind, str]] = set()
        self._barred: set[str] = set()
        self._number = max((int(path.name[:12]) for path, _ in self._files()), default=0)
        self._earlier = self._number
        """Names up to this number stand with events of the log as it is, or with those of one that is gone."""

    def token(self) -> str:
        """A name for what is kept beside an event; names sort by age. Snapshot and clip are due from now on."""
        with self._changed:
            self._number += 1
            token = f"{self._number:012}-{secrets.token_hex(4)}"
            self._due |= {("snapshot", token), ("clip", token)}
            return token

    def settle(self, kind: FootageKind, token: str) -> None:
        """The snapshot or clip of this name is there, or will never be."""
        with self._changed:
            self._due.discard((kind, token))
            self._changed.notify_all()

    def put(self, kind: FootageKind, token: str, at_s: float, tracks: Iterable[str], key: bytes, data: bytes) -> None:
        """Keep a snapshot or a clip; nothing is kept that shows a track that was forgotten meanwhile.

        Args:
            kind: of it.
            token: see :meth:`token`.
            at_s: wall time of its event, which it is bound to.
            tracks: ids of the tracks of everybody in it.
            key: 32 bytes, seals it.
            data: a JPEG or an AVI.

        Raises:
            OSError: the disk takes no more, or only what is left for events.
        """
        shown = sorted(set(tracks))
        head = json.dumps(shown, ensure_ascii=False).encode()
        sealed = head + b"\n" + seal(key, data, _place(kind, token, at_s, head))
        with self._writing:
            if self._barred.intersection(shown):
                return
            path = self.folder / f"{token}.{kind}"
            draft = path.with_name(path.name + _DRAFT)
            self._make_room(len(sealed))
            try:
                write_new(draft, sealed, 0o600)
                draft.replace(path)
            finally:
                with suppress(OSError):
                    draft.unlink(missing_ok=True)

    def beside(self, kind: FootageKind, record: Record, directory: Directory) -> bytes | None:
        """What was kept of an event: a JPEG or an AVI; waits for one that is due.

        Returns:
            None where it is not there, or the key it was sealed with is gone.
        """
        token, at_s, key = record.footage, record.values["at_s"], key_of(record, directory)
        if token is None or key is None or not _NAME.fullmatch(f"{token}.{kind}"):
            return None
        with self._changed:
            self._changed.wait_for(lambda: (kind, token) not in self._due, _SETTLE_S[kind])
        try:
            head, _, sealed = (self.folder / f"{token}.{kind}").read_bytes().partition(b"\n")
            return unseal(key, sealed, _place(kind, token, at_s, head))
        except (OSError, ValueError):
            return None

    def remove(self, tokens: Iterable[str | None]) -> None:
        """Delete what is kept under these names."""
        for token in filter(None, tokens):
            for kind in ("snapshot", "clip"):
                with suppress(OSError):
                    (self.folder / f"{token}.{kind}").unlink(missing_ok=True)

    def forget(self, tracks: Collection[str]) -> None:
        """Delete everything that shows one of these tracks, and let nothing be kept that does.

        Raises:
            OSError: a file cannot be deleted.
        """
        if not tracks:
            return
        with self._writing:
            self._barred.update(tracks)
            for path, _ in self._files():
                if not _tracks_of(path).isdisjoint(tracks):
                    path.unlink(missing_ok=True)

    def begin_anew(self) -> None:
        """The log was set aside: what was named so far belongs to it."""
        with self._changed:
            self._earlier = self._number

    def reconcile(self, tokens: Collection[str]) -> dict[FootageKind, int]:
        """Delete what belongs to no event, of what was there before this began or before the log was set aside.

        Args:
            tokens: that stand with events.

        Returns:
            How many of each kind went.
        """
        gone: dict[FootageKind, int] = {"snapshot": 0, "clip": 0}
        for path, _ in list(self._files()):
            token, _, kind = path.name.partition(".")
            if token not in tokens and int(token[:12]) <= self._earlier:
                with suppress(OSError):
                    path.unlink(missing_ok=True)
                    gone["clip" if kind == "clip" else "snapshot"] += 1
        return gone

    def delete_drafts(self) -> None:
        """Delete what a killed process has left; for when nobody writes yet."""
        if self.folder.is_dir():
            for draft in self.folder.glob(f"*{_DRAFT}"):
                with suppress(OSError):
                    draft.unlink(missing_ok=True)

    def has(self, kind: FootageKind, token: str | None) -> bool:
        """Whether a snapshot or clip of this name is there, whoever may open it."""
        name = f"{token}.{kind}"
        return _NAME.fullmatch(name) is not None and (self.folder / name).exists()

    def trim(self, keep_bytes: int) -> int:
        """Delete the oldest files beyond so many bytes; how many bytes are left."""
        files = sorted(self._files(), reverse=True)
        total = 0
        for path, size in files:
            total += size
            if total > keep_bytes:
                total -= size
                with suppress(OSError):
                    path.unlink(missing_ok=True)
        return total

    def _files(self) -> Iterator[tuple[Path, int]]:
        """Each file with its size in bytes."""
        try:
            with os.scandir(self.folder) as found:
                for entry in found:
                    if _NAME.fullmatch(entry.name):
                        with suppress(OSError):
                            yield Path(entry.path), entry.stat(follow_symlinks=False).st_size
        except FileNotFoundError:
            return

    def _make_room(self, size: int) -> None:
        if not self.folder.is_dir():
            self.folder.mkdir(mode=0o700)
            give_to_owner(self.folder)
        disk = os.statvfs(self.folder)
        spare = min(_SPARE_BYTES, int(_SPARE_SHARE * disk.f_blocks * disk.f_frsize))
        if disk.f_bavail * disk.f_frsize < size + spare:
            raise OSError(errno.ENOSPC, "disk full")


def _place(kind: str, token: str, at_s: float, head: bytes) -> str:
    return f"footage/{kind}/{token}/{at_s!r}/{head.decode()}"


def _tracks_of(path: Path) -> set[str]:
    """The tracks that a file shows; one that cannot be read shows nobody, and opens for nobody."""
    try:
        with path.open("rb") as stream:
            return set(json.loads(stream.readline()))
    except (OSError, ValueError, TypeError):
        return set()
