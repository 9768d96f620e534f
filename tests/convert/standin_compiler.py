"""Behaves like edgetpu_compiler 16 as its users' logs show it: options, files, texts, exit codes.

``STANDIN`` in the environment says how it goes: ``maps`` (all), ``leaves`` (the last operator stays on the CPU),
``lies`` (the log says all, the file does not), ``fails``, ``changes`` (another input than before), ``silent`` (no log).
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from ai_edge_litert import schema_py_generated as schema

from tests.convert.models import altered

VERSION = "16.0.384591198"
SIZES = """\
On-chip memory used for caching model parameters: {0:.2f}KiB
On-chip memory remaining for caching model parameters: 7.60MiB
Off-chip memory used for streaming uncached model parameters: 0.00B
Number of Edge TPU subgraphs: 1
"""


def compiled(data: bytes, kept: int, changed: bool) -> bytes:
    """One custom operator in place of all operators but the last ``kept``."""

    def edit(model: object) -> None:
        graph = model.subgraphs[0]
        code = schema.OperatorCodeT()
        code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.CUSTOM
        code.customCode, code.version = b"edgetpu-custom-op", 1
        model.operatorCodes.append(code)
        taken = graph.operators[: len(graph.operators) - kept]
        whole = schema.OperatorT()
        whole.opcodeIndex = len(model.operatorCodes) - 1
        whole.inputs, whole.outputs = graph.inputs, taken[-1].outputs
        graph.operators = [whole, *graph.operators[len(taken) :]]
        if changed:
            graph.tensors[graph.inputs[0]].quantization.scale = [0.5]

    return altered(edit, data)


def main(arguments: list[str]) -> int:
    how = os.environ.get("STANDIN", "maps")
    assert arguments[:2] == ["-s", "-o"], arguments
    folder, models = Path(arguments[2]), [Path(name) for name in arguments[3:]]
    print(f"Edge TPU Compiler version {VERSION}\nStarted a compilation timeout timer of 180 seconds.")
    if how == "fails":
        print("\nInternal compiler error. Aborting! \n", file=sys.stderr)
        return 1
    print(f"\nModels compiled successfully in {31 * len(models)} ms.\n")
    for path in models:
        data = path.read_bytes()
        graph = schema.ModelT.InitFromPackedBuf(data, 0)
        names = {v: k for k, v in vars(schema.BuiltinOperator).items() if isinstance(v, int)}
        kinds = [names[graph.operatorCodes[o.opcodeIndex].builtinCode] for o in graph.subgraphs[0].operators]
        left = {"leaves": 1}.get(how, 0)
        out = folder / f"{path.stem}_edgetpu.tflite"
        out.write_bytes(compiled(data, left or (how == "lies"), how == "changes"))
        rows = [f"{kind:<30} 1          Mapped to Edge TPU" for kind in kinds[: len(kinds) - left]]
        rows += [f"{kind:<30} 1          Operation version not supported" for kind in kinds[len(kinds) - left :]]
        table = "Operator                       Count      Status\n\n" + "\n".join(rows) + "\n"
        print(f"Input model: {path}\nInput size: {len(data) / 1024:.2f}KiB\nOutput model: {out}")
        print(
            SIZES.format(len(data) / 1024) + f"Total number of operations: {len(kinds)}\nOperation log: {out.stem}.log"
        )
        print("See the operation log file for individual operation details.\n" + table)
        if how != "silent":
            log = f"Edge TPU Compiler version {VERSION}\nInput: {path}\nOutput: {out}\n\n{table}"
            out.with_suffix(".log").write_text(log)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
