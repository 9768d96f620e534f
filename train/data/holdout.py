"""Which faces without a name nobody trains on: a third, by a hash, the same whoever asks and whenever.

A sixth is a cohort, the strangers behind a calibration; a sixth checks what was calibrated. A face stays where it is
when others are added, and wherever its folder lies.
"""

from __future__ import annotations

import hashlib
from typing import Literal

Part = Literal["train", "cohort", "check"]


def part_of(file_name: str) -> Part:
    """The part that a picture belongs to: ``train``, ``cohort`` or ``check``.

    Args:
        file_name: of the picture, without folders.
    """
    remainder = int(hashlib.sha256(file_name.encode()).hexdigest(), 16) % 6
    return "cohort" if remainder == 0 else "check" if remainder == 1 else "train"
