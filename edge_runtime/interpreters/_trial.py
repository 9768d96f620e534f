"""Opens and runs a model in a process of its own: somebody else's file may crash an interpreter, not its user."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np

_RUNS = 2
_TIMEOUT_S = 120
_ROOT = Path(__file__).parent.parent.parent


def try_in_child(model: Path, interpreter: str) -> str | None:
    """Why an interpreter cannot use a model; None if it opened it and ran it on zeros and on noise.

    Args:
        model: the .tflite file.
        interpreter: as for ``interpreters.open_interpreter``.
    """
    search = os.pathsep.join(filter(None, [str(_ROOT), os.environ.get("PYTHONPATH")]))
    try:
        done = subprocess.run(
            [sys.executable, "-m", __name__, interpreter, str(model)],
            env=os.environ | {"PYTHONPATH": search},
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_TIMEOUT_S,
        )
    except subprocess.TimeoutExpired:
        return f"{model}: expected an answer within {_TIMEOUT_S} s, no answer came; do not use this model"
    try:
        return str(json.loads(done.stdout.splitlines()[-1])["error"] or "") or None
    except (IndexError, ValueError, KeyError, TypeError):
        return f"{model}: the interpreter died of this model (exit {done.returncode}); do not use it"


def _work(interpreter: str, model: str) -> str | None:
    from edge_runtime.errors import FamiliarError
    from edge_runtime.interpreters import open_interpreter

    try:
        opened = open_interpreter(interpreter, model)
        rng = np.random.default_rng(0)
        for i in range(_RUNS):
            noise = rng.integers(0, 100, opened.input_shape) * (i > 0)
            opened.run(noise.astype(opened.input_dtype))
        opened.close()
    except FamiliarError as error:
        return str(error)
    except Exception as error:  # an interpreter raises whatever a damaged file leads it to
        return f"{model}: cannot be run ({type(error).__name__}: {' '.join(str(error).split())}); do not use it"
    return None


if __name__ == "__main__":
    print(json.dumps({"error": _work(*sys.argv[1:])}))
