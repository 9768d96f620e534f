"""The state of a run after a whole epoch, in one file: weights, optimiser, history, and whose state it is.

No state of a random generator is kept, because none lives longer than an epoch: every draw starts from the
run's seed and the number of the epoch.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from edge_runtime.errors import FamiliarError, InputError
from edge_runtime.storage.files import replacing

CHECKPOINT = "checkpoint.npz"


def fingerprint(document: dict[str, Any]) -> str:
    """sha256 (hex) over all that decides a run's numbers, JSON-ready."""
    return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()


def begun(folder: Path, mark: str, allowed: Sequence[str] = ()) -> dict[str, Any] | None:
    """The state of the run that a folder holds, or None for a new one, whose folder is made.

    Args:
        folder: of the run.
        mark: the run's ``fingerprint``.
        allowed: names that a run may have left before its first checkpoint.

    Raises:
        InputError: the folder holds another run, or something else.
    """
    checkpoint = folder / CHECKPOINT
    if not checkpoint.is_file():
        other = [path.name for path in folder.glob("[!.]*") if path.name not in allowed] if folder.is_dir() else []
        if other or (folder.exists() and not folder.is_dir()):
            found = f"{min(other)} in it" if other else "a file"
            raise InputError(f"{folder}: expected a new or empty folder, found {found}; name another")
        folder.mkdir(parents=True, exist_ok=True)
        return None
    state = read_state(checkpoint)
    if state["fingerprint"] != mark:
        raise InputError(
            f"{folder}: expected a new folder or a run of this very recipe, data and seed, found another run; "
            "name another folder"
        )
    return state


@contextlib.contextmanager
def unless_refused(folder: Path) -> Iterator[None]:
    """Remove the folder of a run, and those made for it, if the block is refused before anything lies in it."""
    made = [path for path in (folder, *folder.parents) if not path.exists()]
    try:
        yield
    except FamiliarError:
        for path in made:
            if path.is_dir() and not any(path.iterdir()):
                path.rmdir()
        raise


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
