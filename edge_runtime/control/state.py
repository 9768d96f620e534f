"""The three states of a daemon, as it tells them to whoever asks."""

from __future__ import annotations

from typing import Literal

State = Literal["ok", "degraded", "failing"]
EXIT_CODES: dict[State, int] = {"ok": 0, "degraded": 20, "failing": 21}
"""What ``familiar status`` ends with."""
