"""Disks of their own, to be filled or to fail for real; they need root."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs to mount a small disk: run as root")


def _mount(*arguments: str) -> None:
    done = subprocess.run(["mount", *arguments], capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"needs to mount a small disk: {done.stderr.strip()}")


@contextmanager
def small_disk(folder: Path, kib: int) -> Iterator[Path]:
    """A disk in memory of this size at ``folder``."""
    folder.mkdir()
    _mount("-t", "tmpfs", "-o", f"size={kib}k", "none", str(folder))
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(folder: Path) -> Path:
    """Leave no room on the disk of ``folder``; returns the file that takes it."""
    filler = folder / "filler"
    with filler.open("wb", buffering=0) as stream:
        for size in (1 << 16, 1 << 10, 1):
            try:
                while True:
                    stream.write(b"x" * size)
            except OSError:
                continue
    return filler


def remount(folder: Path, options: str) -> None:
    _mount("-o", f"remount,{options}", str(folder))


@contextmanager
def failing_disk(image: Path, folder: Path, make: bool = True) -> Iterator[Path]:
    """An ext4 disk at ``folder``: a new one, or the one that ``image`` holds.

    ``remount(folder, "abort")`` makes it fail as a worn card does: read-only at once.
    """
    if shutil.which("mkfs.ext4") is None:
        pytest.skip("needs mkfs.ext4: apt install e2fsprogs")
    if make:
        with image.open("wb") as stream:
            stream.truncate(16 << 20)
        subprocess.run(["mkfs.ext4", "-q", str(image)], check=True)
    folder.mkdir()
    _mount("-o", "loop", str(image), str(folder))
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)
