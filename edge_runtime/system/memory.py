"""Memory that was freed, given back to the system."""

from __future__ import annotations

import ctypes


def give_back() -> None:
    """Give the free pages of the C library's heap back; elsewhere than with glibc nothing happens.

    By itself it gives back the end of the heap alone, so what one large request took would stay for ever.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
