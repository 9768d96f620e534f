"""The daemon's log: one line a fact on standard error, as text (logfmt) or JSON, rate-limited and free of names.

Messages are constant and details are fields, so that a fault that repeats is known as the same one. Under systemd each
line starts with its priority (sd-daemon(3)). Passwords in addresses are masked, whoever logs them.
"""

from __future__ import annotations

import json
import os
import re
import sys
import threading
import time
from collections.abc import Callable, Iterable
from typing import Any, TextIO

from edge_runtime.config import LEVELS, LogConfig
from edge_runtime.text.masking import masked

_PRIORITIES = {"debug": 7, "info": 6, "warning": 4, "error": 3}
_MOST_REMEMBERED = 500
"""Different messages whose repetitions are counted."""
_NUMBER = re.compile(r"\d+")
_NOBODY = re.compile(r"(?!)")
_SHORTEST_NAME = 2
_SMALL_WORDS = frozenset({
    "an", "and", "are", "as", "at", "be", "by", "can", "did", "do", "for", "from", "had", "has", "have", "her", "him",
    "his", "how", "if", "in", "is", "it", "its", "many", "may", "me", "more", "most", "my", "new", "no", "nor", "not",
    "now", "of", "off", "on", "one", "or", "other", "our", "out", "own", "see", "set", "she", "so", "some", "such",
    "than", "that", "the", "their", "then", "there", "they", "this", "to", "two", "up", "us", "was", "we", "what",
    "when", "who", "why", "will", "with", "you",
})  # fmt: skip
"""Of which the log's lines are made, and which would say something else without them."""


class Log:
    """Writes lines; safe to use from every thread, and never raises because of its reader."""

    def __init__(
        self,
        settings: LogConfig | None = None,
        stream: TextIO | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Start with nothing written.

        Args:
            settings: see :meth:`configure`.
            stream: where lines go; None: standard error, whatever that is at the time.
            clock: monotonic seconds.
        """
        self._stream, self._clock = stream, clock
        self._lock = threading.Lock()
        self._said: dict[tuple[Any, ...], tuple[float, int, dict[str, Any]]] = {}
        """By message: when it was last written, how often it was left out since, and the latest fields."""
        self._names = _NOBODY
        self.configure(settings or LogConfig())

    @property
    def settings(self) -> LogConfig:
        """In force."""
        return self._settings

    def configure(self, settings: LogConfig) -> None:
        """Take the ``[log]`` section; may be called at any time."""
        self._settings = settings
        self._floor = LEVELS.index(settings.level)

    def hide(self, names: Iterable[str]) -> None:
        """Write ``somebody`` for these people's names from now on, unless ``[log] names`` says otherwise.

        A name that is also a small word of the language ("a", "in") is one only where it is quoted, or is all there is.
        """
        given = sorted(filter(None, names), key=len, reverse=True)
        plain = "|".join(re.escape(name) for name in given if not _is_small_word(name))
        small = "|".join(re.escape(name) for name in given if _is_small_word(name))
        patterns = [rf"(?<!\w)(?:{plain})(?!\w)"] if plain else []
        patterns += [rf"(?<=['\"])(?:{small})(?=['\"])|^(?:{small})$"] if small else []
        self._names = re.compile("|".join(patterns), re.IGNORECASE) if patterns else _NOBODY

    def debug(self, message: str, **fields: Any) -> None:
        """Something for whoever looks for a fault."""
        self.write("debug", message, fields)

    def info(self, message: str, **fields: Any) -> None:
        """Something that happened as it should."""
        self.write("info", message, fields)

    def warning(self, message: str, **fields: Any) -> None:
        """Something is wrong, and it goes on without."""
        self.write("warning", message, fields)

    def error(self, message: str, **fields: Any) -> None:
        """Something is wrong that somebody has to fix."""
        self.write("error", message, fields)

    def write(self, level: str, message: str, fields: dict[str, Any]) -> None:
        """One line, unless the same message was written a moment ago, for the same ``part`` or ``camera`` and reason.

        Reasons that differ in their numbers alone are the same.
        """
        if LEVELS.index(level) < self._floor:
            return
        reason = _NUMBER.sub("", str(fields.get("reason", "")))
        key = level, message, fields.get("part"), fields.get("camera"), reason
        with self._lock:
            now = self._clock()
            at, left_out, _ = self._said.pop(key, (-float("inf"), 0, fields))
            if now - at < self._settings.every_s:
                self._said[key] = at, left_out + 1, fields
                return
            self._said[key] = now, 0, fields
            while len(self._said) > _MOST_REMEMBERED:
                self._said.pop(next(iter(self._said)))
            self._put(level, message, {**fields, "left_out": left_out} if left_out else fields)

    def flush(self) -> None:
        """Write the last of each message that was left out, with how many there were; for the end."""
        with self._lock:
            for (level, message, *_), (_, left_out, fields) in self._said.items():
                if left_out:
                    self._put(level, message, {**fields, "left_out": left_out})
            self._said.clear()

    def _put(self, level: str, message: str, fields: dict[str, Any]) -> None:
        stream = self._stream or sys.stderr
        if not self._settings.names:
            fields = {key: self._nameless(value) for key, value in fields.items() if key != "person"}
            message = self._nameless(message)
        fields = {key: masked(value) if isinstance(value, str) else value for key, value in fields.items()}
        message = masked(message)
        if self._settings.format == "json":
            line = json.dumps(
                {"time": round(time.time(), 3), "level": level, "message": message, **fields},
                ensure_ascii=False,
                default=str,
            )
        else:
            line = " ".join([message, *(f"{key}={_quoted(value)}" for key, value in fields.items())])
            word = "" if level == "info" else f"{level}: "
            line = line if _is_journal(stream) else f"familiar: {word}{line}"
        if _is_journal(stream):
            line = f"<{_PRIORITIES[level]}>{line}"
        try:
            stream.write(line + "\n")
            stream.flush()
        except (OSError, ValueError):
            pass  # nobody reads it any more

    def _nameless(self, value: Any) -> Any:
        return self._names.sub("somebody", value) if isinstance(value, str) else value


def _is_small_word(name: str) -> bool:
    return len(name) < _SHORTEST_NAME or name.casefold() in _SMALL_WORDS


def _quoted(value: Any) -> str:
    """A logfmt value: quoted where it holds more than one word, always on one line."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    plain = text and text.isprintable() and not any(sign in text for sign in ' "=')
    return text if plain else json.dumps(text, ensure_ascii=False)


def _is_journal(stream: TextIO) -> bool:
    """Whether systemd's journal reads this stream (systemd.exec(5), JOURNAL_STREAM)."""
    wanted = os.environ.get("JOURNAL_STREAM", "")
    try:
        found = os.fstat(stream.fileno())
    except (OSError, ValueError, AttributeError):
        return False
    return wanted == f"{found.st_dev}:{found.st_ino}"


log = Log()
"""The process's own, which the daemon configures."""
