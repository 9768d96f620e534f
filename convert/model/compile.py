"""Compile a bundle's models for the Edge TPU, together, where edgetpu_compiler is on the PATH.

The compiled files are added to the bundle; it keeps the others, and runs without an Edge TPU as before.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from dataclasses import asdict, replace
from pathlib import Path

from convert.edgetpu.compiler import Compilation, compile_models
from convert.model.sign import resign
from convert.model.writer import check_target, drafted, write_manifest
from edge_runtime.bundle.figures import Record
from edge_runtime.bundle.folder import Bundle
from edge_runtime.bundle.manifest import Manifest
from edge_runtime.bundle.signature import load_private_key
from edge_runtime.errors import BundleError, UsageError


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
    files = _model_files(bundle)
    with tempfile.TemporaryDirectory(prefix="familiar-compile-") as scratch:
        compilation = compile_models([bundle.path / name for name in files.values()], Path(scratch))
    names = {part: f"{Path(name).stem}_edgetpu.tflite" for part, name in files.items()}
    with drafted(target, replace) as folder:
        for name in bundle.manifest.files:
            shutil.copy(bundle.path / name, folder / name)
        for part, compiled in zip(names, compilation.models, strict=True):
            (folder / names[part]).write_bytes(compiled.model)
        write_manifest(folder, _with_compiled(bundle.manifest, names, _record(compilation, names)))
        if args.sign:
            resign(folder, args.sign)
    on_chip, off_chip = (amount / (1 << 20) for amount in (compilation.on_chip_bytes, compilation.off_chip_bytes))
    operators = sum(row.count for compiled in compilation.models for row in compiled.rows)
    print(
        f"{target}: {', '.join(names.values())} by compiler {compilation.version}; all {operators} operators mapped, "
        f"{on_chip:.2f} MiB of parameters on the chip, {off_chip:.2f} MiB streamed"
    )
    return 0


def _with_compiled(manifest: Manifest, names: dict[str, str], record: Record) -> Manifest:
    """The manifest of a bundle that has compiled files too, by part, and what the compiler said of them."""
    sheet, spec = manifest.detector_sheet, manifest.own_detector
    if spec is not None:
        refiner = spec.refiner and replace(spec.refiner, edgetpu_file=names["refiner"])
        sheet = replace(sheet, spec=replace(spec, edgetpu_file=names["detector"], refiner=refiner))
    return replace(
        manifest,
        encoder=replace(manifest.encoder, edgetpu_file=names["encoder"]),
        detector_sheet=sheet,
        metrics=replace(manifest.metrics, edgetpu_compiler=record),
    )


def _model_files(bundle: Bundle) -> dict[str, str]:
    """File names of the bundle's models, by part."""
    spec = bundle.manifest.own_detector
    files = {"encoder": bundle.manifest.encoder_file}
    if spec is not None:
        files["detector"] = spec.file
        if spec.refiner is not None:
            files["refiner"] = spec.refiner.file
    strange = [name for name in files.values() if not name.endswith(".tflite")]
    if strange:
        raise BundleError(f"{bundle.path}: expected .tflite files that it lists, found {strange[0]!r}; make it again")
    return files


def _record(compilation: Compilation, names: dict[str, str]) -> Record:
    """What the manifest keeps of it."""
    rows = {
        names[part]: [asdict(row) for row in compiled.rows]
        for part, compiled in zip(names, compilation.models, strict=True)
    }
    return {
        "version": compilation.version,
        "on_chip_bytes": compilation.on_chip_bytes,
        "off_chip_bytes": compilation.off_chip_bytes,
        "operators": rows,
    }
