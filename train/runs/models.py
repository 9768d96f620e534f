"""Keras models from files, without their training state."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from edge_runtime.errors import InputError
from edge_runtime.system.native_output import ABSL, without_lines


def open_model(path: Path) -> Any:
    """A Keras model to compute with.

    Raises:
        InputError: it cannot be opened.
    """
    with without_lines(*ABSL):
        import keras

    try:
        return keras.saving.load_model(path, compile=False)
    except (OSError, ValueError, TypeError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise InputError(
            f"{path}: expected a Keras model, it cannot be opened ({reason}); fit the run again"
        ) from error
