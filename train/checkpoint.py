"""The state of a run after a whole epoch, in one file: weights, optimiser, history, and whose state it is.

No state of a random generator is kept, because none lives longer than an epoch: every draw starts from the
run's seed and the number of the epoch.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from edge_runtime.errors import InputError
from train.files import replacing


def save_checkpoint(path: Path, variables: Sequence[keras.Variable], state: dict[str, Any]) -> None:
    """Write variables and ``state`` (JSON-ready) whole or not at all."""
    arrays = {f"v{k:04d}": keras.ops.convert_to_numpy(variable) for k, variable in enumerate(variables)}
    with replacing(path) as draft, draft.open("wb") as stream:
        np.savez(stream, state=np.array(json.dumps(state)), **arrays)


def read_state(path: Path) -> dict[str, Any]:
    """The ``state`` of a checkpoint without its variables.

    Raises:
        InputError: damaged.
    """
    return _read(path, 0)[0]


def restore(path: Path, variables: Sequence[keras.Variable]) -> None:
    """Set ``variables`` to what they were.

    Raises:
        InputError: damaged, or of another model.
    """
    _, arrays = _read(path, len(variables))
    for variable, array in zip(variables, arrays, strict=True):
        if tuple(variable.shape) != array.shape:
            raise InputError(
                f"{path}: expected {variable.path} {tuple(variable.shape)}, found {array.shape}; fit again"
            )
        variable.assign(array)


def _read(path: Path, count: int) -> tuple[dict[str, Any], list[NDArray[Any]]]:
    try:
        with np.load(path, allow_pickle=False) as archive:
            if count and len(archive.files) != count + 1:
                raise KeyError(f"{count} variables")
            return json.loads(str(archive["state"])), [archive[f"v{k:04d}"] for k in range(count)]
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise InputError(
            f"{path}: not a checkpoint of this model ({error}); delete the run's folder and fit again"
        ) from error
