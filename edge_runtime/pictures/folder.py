"""Which pictures lie in a folder, and what else lies there."""

from __future__ import annotations

import os
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from edge_runtime.errors import InputError
from edge_runtime.pictures.formats import HEAD_BYTES, SUFFIXES, format_of

_VIDEO_SUFFIXES = frozenset({".mp4", ".mov", ".m4v", ".avi", ".mkv", ".webm", ".3gp", ".mts", ".wmv", ".mpg", ".mpeg"})
_RAW_SUFFIXES = frozenset({".dng", ".cr2", ".cr3", ".nef", ".arw", ".raf", ".orf", ".rw2", ".pef", ".srw"})
VIDEO, RAW, OTHER, HIDDEN = "video", "raw picture", "other file", "hidden entry"
LINK_AGAIN, BROKEN_LINK, CLOSED = "link to a folder listed already", "broken link", "folder that cannot be read"
_PLURALS = {
    HIDDEN: "hidden entries",
    LINK_AGAIN: "links to folders listed already",
    CLOSED: "folders that cannot be read",
}


@dataclass(frozen=True)
class Listing:
    """What lies below a folder.

    Attributes:
        folder: the folder.
        pictures: every picture, sorted.
        left_out: of everything else the kind, and the first of its kind.
    """

    folder: Path
    pictures: tuple[Path, ...]
    left_out: tuple[tuple[str, Path], ...] = ()

    @property
    def told(self) -> str | None:
        """What is left out, in one line for people; None: nothing."""
        if not self.left_out:
            return None
        counts, first = Counter(kind for kind, _ in self.left_out), dict(reversed(self.left_out))
        parts = (
            f"{count} {kind if count == 1 else _PLURALS.get(kind, f'{kind}s')} "
            f"({first[kind].relative_to(self.folder)}{', …' if count > 1 else ''})"
            for kind, count in counts.most_common()
        )
        return f"{self.folder}: left out: {', '.join(parts)}"


def list_images(folder: str | Path, tell: Callable[[str], None]) -> list[Path]:
    """Every picture below ``folder``, sorted; ``tell`` gets the line that says what else is there, if anything is.

    Raises:
        InputError: as for :func:`look_through`.
    """
    listing = look_through(folder)
    if listing.told is not None:
        tell(listing.told)
    return list(listing.pictures)


def look_through(folder: str | Path) -> Listing:
    """Every picture below ``folder``, by its name's ending or by how the file begins.

    Links are followed, and no folder is listed twice: the place that is no link comes first. Names that start with a
    dot are left out.

    Raises:
        InputError: the folder is missing, is not a folder, or holds no picture.
    """
    root = Path(folder)
    if not root.exists():
        raise InputError(f"{root}: expected a folder of photos, found nothing there; check the path")
    if not root.is_dir():
        raise InputError(f"{root}: expected a folder of photos, found a file; name the folder it is in")
    pictures, left_out = list[Path](), list[tuple[str, Path]]()
    seen = set[tuple[int, int]]()
    waiting = deque([root])
    while waiting:
        links: list[Path] = []
        _walk(waiting.popleft(), seen, pictures, left_out, links)
        waiting.extend(sorted(links))
    listing = Listing(root, tuple(sorted(pictures)), tuple(sorted(left_out, key=lambda one: one[1])))
    if not pictures:
        known = " ".join(sorted(SUFFIXES))
        also = f" ({listing.told.partition(': ')[2]})" if listing.told else ""
        raise InputError(
            f"{root}: expected photos ({known}), found none{also}; put photos there or name another folder"
        )
    return listing


def _walk(
    top: Path,
    seen: set[tuple[int, int]],
    pictures: list[Path],
    left_out: list[tuple[str, Path]],
    links: list[Path],
) -> None:
    """List one tree without its links to folders, which come later."""
    folders = [top]
    while folders:
        folder = folders.pop()
        try:
            state = folder.stat()
            if (state.st_dev, state.st_ino) in seen:
                left_out.append((LINK_AGAIN, folder))
                continue
            seen.add((state.st_dev, state.st_ino))
            entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
        except OSError:
            left_out.append((CLOSED, folder))
            continue
        for entry in entries:
            path = folder / entry.name
            if entry.name.startswith("."):
                left_out.append((HIDDEN, path))
            elif entry.is_dir():
                (links if entry.is_symlink() else folders).append(path)
            elif (kind := _kind(path)) is not None:
                left_out.append((kind, path))
            else:
                pictures.append(path)


def _kind(path: Path) -> str | None:
    """What a file is that is no picture; None: it is one."""
    suffix = path.suffix.lower()
    if not path.is_file():
        return BROKEN_LINK if path.is_symlink() else OTHER
    if suffix in SUFFIXES:
        return None
    if suffix in _VIDEO_SUFFIXES or suffix in _RAW_SUFFIXES:
        return VIDEO if suffix in _VIDEO_SUFFIXES else RAW
    try:
        with path.open("rb") as stream:
            return None if format_of(stream.read(HEAD_BYTES)) else OTHER
    except OSError:
        return OTHER
