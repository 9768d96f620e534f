"""Say of any .tflite file, operator by operator, whether it maps to the Edge TPU; needs no compiler and no TensorFlow.

Ends with 1 where it does not map wholly.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from convert.edgetpu.verdict import MEMORY_BYTES, RESERVED_BYTES, Verdict, fits, gate
from edge_runtime.errors import InputError

_MOST_BYTES = 1 << 30
_MIB = 1 << 20


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", type=Path, nargs="+", metavar="FILE.tflite", help="models to share one Edge TPU")
    parser.add_argument("--json", action="store_true", help="machine-readable output")


def run(args: argparse.Namespace) -> int:
    """Judge some models; returns 0 if all of them map wholly, else 1.

    Raises:
        InputError: a file that cannot be read or is no TFLite model.
    """
    verdicts = [gate(read_model(path), str(path)) for path in args.file]
    if args.json:
        models = [verdict.as_json() for verdict in verdicts]
        print(json.dumps({"maps_wholly": _all(verdicts), "fits": fits(*verdicts), "models": models}, indent=2))
    else:
        print("\n\n".join(map(table, verdicts)))
        if len(verdicts) > 1:
            print(f"\ntogether: {_memory(*verdicts)}")
    return 0 if _all(verdicts) else 1


def read_model(path: Path) -> bytes:
    """A model's file.

    Raises:
        InputError: no such file, or it is larger than a model can be.
    """
    if not path.is_file() or path.stat().st_size > _MOST_BYTES:
        raise InputError(
            f"{path}: expected a .tflite file of at most {_MOST_BYTES:,} bytes, found none; check the path"
        )
    return path.read_bytes()


def table(verdict: Verdict) -> str:
    """A verdict for people: one line an operator, then what it comes to."""
    wide = max((len(operator.name) for operator in verdict.operators), default=0)
    lines = [
        f"{operator.index:>4}  {_text(operator.name):<{wide}}  v{operator.version:<2} {operator.output:<15} "
        f"{'maps' if operator.maps else _text(operator.reason)}"
        for operator in verdict.operators
    ]
    mapped = sum(operator.maps for operator in verdict.operators)
    sentence = "maps wholly" if verdict.maps_wholly else f"does not map wholly: {_text(verdict.why_not)}"
    lines.append(f"{verdict.where}: {mapped} of {len(verdict.operators)} operators on the Edge TPU; {sentence}")
    if verdict.ends_at is not None:
        operator = verdict.operators[verdict.ends_at]
        lines.append(f"the partition ends at operator {operator.index} {_text(operator.name)}")
    if verdict.compiled:
        lines.append("made by the Edge TPU compiler: runs with the Edge TPU's delegate only")
    else:
        lines.append(_memory(verdict))
    return "\n".join(lines)


def _memory(*verdicts: Verdict) -> str:
    parameters = sum(verdict.parameter_bytes for verdict in verdicts)
    on_chip = sum(verdict.on_chip_bytes for verdict in verdicts)
    room = (MEMORY_BYTES - RESERVED_BYTES) / _MIB
    fitting = "fits" if fits(*verdicts) else "does not fit, the rest comes over USB at every run"
    return (
        f"{parameters:,} bytes of parameters, about {on_chip / _MIB:.2f} MiB on the chip of {room:.0f} there are "
        f"({MEMORY_BYTES >> 20} less {RESERVED_BYTES >> 20} for activations): {fitting}"
    )


def _all(verdicts: list[Verdict]) -> bool:
    return all(verdict.maps_wholly for verdict in verdicts)


def _text(text: str) -> str:
    """Printable: names in a model are somebody else's text, and a terminal obeys what it is sent."""
    return "".join(c if c.isprintable() else "?" for c in text)
