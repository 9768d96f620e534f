"""Compile a bundle's models for the Edge TPU, together, where edgetpu_compiler is on the PATH.

The compiled files are added to the bundle; it keeps the others, and runs without an Edge TPU as before.
"""

from __future__ import annotations

import argparse
import copy
import dataclasses
import shutil
import tempfile
from pathlib import Path
from typing import Any

from convert.edgetpu.compiler import Compilation, compile_models
from convert.model.sign import resign
from convert.model.writer import check_target, drafted, write_manifest
from edge_runtime.bundle.folder import Bundle
from edge_runtime.bundle.signature import load_private_key
from edge_runtime.errors import BundleError, UsageError

_Part = tuple[str, ...]
_PARTS: tuple[_Part, ...] = (("encoder",), ("detector",), ("detector", "refiner"))
"""Where in a manifest a model's file may be named."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("bundle", type=Path, metavar="BUNDLE")
    parser.add_argument("--out", type=Path, metavar="BUNDLE", help="the folder to make (default: the bundle's own)")
    parser.add_argument("--replace", action="store_true", help="put the new bundle in the place of an old one")
    parser.add_argument(
        "--sign", type=Path, metavar="KEY", help="private key; an older signature does not hold any more"
    )


def run(args: argparse.Namespace) -> int:
    """Compile; returns the exit code.

    Raises:
        UsageError: a signed bundle and no key to sign the new one with, or a folder that may not be written.
        InputError: no compiler, or no such key.
        BundleError: no bundle there, or the compiler does not map everything.
    """
    bundle = Bundle(args.bundle)
    if args.sign:
        load_private_key(args.sign)
    elif bundle.signed_by:
        raise UsageError(f"{args.bundle}: expected --sign KEY, for it is signed and compiling changes it; name the key")
    target = args.out or args.bundle
    replace = args.replace or args.out is None
    check_target(target, replace)
    document = copy.deepcopy({key: value for key, value in bundle.manifest.raw.items() if key != "files"})
    files = _model_files(bundle)
    with tempfile.TemporaryDirectory(prefix="familiar-compile-") as scratch:
        compilation = compile_models([bundle.path / name for name in files.values()], Path(scratch))
    names = {part: f"{Path(name).stem}_edgetpu.tflite" for part, name in files.items()}
    with drafted(target, replace) as folder:
        for name in bundle.manifest.files:
            shutil.copy(bundle.path / name, folder / name)
        for part, compiled in zip(names, compilation.models, strict=True):
            (folder / names[part]).write_bytes(compiled.model)
            _section(document, part)["edgetpu_file"] = names[part]
        document["metrics"] = document.get("metrics", {}) | {"edgetpu_compiler": _record(compilation, names)}
        write_manifest(folder, document)
        if args.sign:
            resign(folder, args.sign)
    on_chip, off_chip = (amount / (1 << 20) for amount in (compilation.on_chip_bytes, compilation.off_chip_bytes))
    operators = sum(row.count for compiled in compilation.models for row in compiled.rows)
    print(
        f"{target}: {', '.join(names.values())} by compiler {compilation.version}; all {operators} operators mapped, "
        f"{on_chip:.2f} MiB of parameters on the chip, {off_chip:.2f} MiB streamed"
    )
    return 0


def _section(document: dict[str, Any], part: _Part) -> dict[str, Any]:
    """A section of a manifest; an empty one where there is none."""
    for key in part:
        document = document.get(key, {})
    return document


def _model_files(bundle: Bundle) -> dict[_Part, str]:
    """File names of the bundle's models, by part."""
    raw, listed = bundle.manifest.raw, bundle.manifest.files
    found = {part: _section(raw, part).get("file") for part in _PARTS}
    files = {part: name for part, name in found.items() if isinstance(name, str)}
    strange = [name for name in files.values() if name not in listed or not name.endswith(".tflite")]
    if strange:
        raise BundleError(f"{bundle.path}: expected .tflite files that it lists, found {strange[0]!r}; make it again")
    return files


def _record(compilation: Compilation, names: dict[_Part, str]) -> dict[str, Any]:
    """What the manifest keeps of it."""
    rows = {
        names[part]: [dataclasses.asdict(row) for row in compiled.rows]
        for part, compiled in zip(names, compilation.models, strict=True)
    }
    return {
        "version": compilation.version,
        "on_chip_bytes": compilation.on_chip_bytes,
        "off_chip_bytes": compilation.off_chip_bytes,
        "operators": rows,
    }
