"""What is opened is closed: the context manager that every holder of a resource is."""

from __future__ import annotations

from types import TracebackType
from typing import Self


class Closing:
    """``with`` for classes that have ``close()``."""

    def close(self) -> None:
        """Let go of what is held; may be called again."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
