"""Which numbers a model is fitted in."""

from __future__ import annotations

from pathlib import Path

import keras

_BFLOAT16_FLAGS = {"avx512_bf16", "amx_bf16"}


def precision(name: str) -> str:
    """Dtype policy for a recipe's ``precision``: ``auto`` takes bfloat16 where the machine computes in it."""
    if name != "auto":
        return name
    if keras.backend.backend() == "tensorflow":
        import tensorflow

        if tensorflow.config.list_physical_devices("GPU"):
            return "mixed_bfloat16"
    elif keras.backend.backend() == "jax":
        import jax

        if jax.default_backend() != "cpu":
            return "mixed_bfloat16"
    try:
        flags = set(Path("/proc/cpuinfo").read_text().split())
    except OSError:
        return "float32"
    return "mixed_bfloat16" if flags & _BFLOAT16_FLAGS else "float32"
