"""What the checks share: the device as it is examined, and a row of the table."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from edge_runtime.config import Config
from edge_runtime.errors import FamiliarError

State = Literal["ok", "warn", "fail", "unknown"]


@dataclass(frozen=True, slots=True)
class Row:
    """What one check found.

    Attributes:
        check: what was looked at.
        state: ``unknown`` if this device does not report it, which is no fault.
        found: one line.
        command: what fixes it; empty where nothing needs fixing.
    """

    check: str
    state: State
    found: str
    command: str = ""


@dataclass
class Examination:
    """A device before the checks.

    Attributes:
        config: in force; the defaults where the file is not sound.
        config_error: why the file is not sound, or None.
        config_path: of the file.
        root: before /sys, /proc, /dev and /run, to look at a tree of files instead of this device.
        status: of the running daemon; None: no daemon runs, or it does not answer.
        daemon_error: why it does not answer, or None.
    """

    config: Config
    config_path: str = ""
    config_error: FamiliarError | None = None
    root: Path = Path("/")
    status: dict[str, Any] | None = None
    daemon_error: FamiliarError | None = None
    seen: dict[str, Any] = field(default_factory=dict)
    """What an earlier check found out, for later ones."""

    def read(self, path: str) -> str | None:
        """A file of the kernel's, without the space around; None if it is missing."""
        try:
            return (self.root / path).read_text(errors="replace").strip()
        except OSError:
            return None

    def paths(self, pattern: str) -> list[Path]:
        """Everything that fits a pattern under the root, sorted."""
        return sorted(self.root.glob(pattern))


def said(error: BaseException) -> str:
    """An error on one line."""
    return " ".join(str(error).split())
