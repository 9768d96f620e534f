"""Bytes that a deployment sends and seconds that it takes: the first one, another runtime, another bundle.

python -m tests.benchmarks.deployment --out docs/deploy/measured.md [--bundle OTHER]

The device is a folder behind a real sshd on the loopback address, with a stand-in for systemd. Without ``--bundle``
the other bundle is the released one with every file that hangs on the encoder written anew.
"""

from __future__ import annotations

import argparse
import getpass
import json
import re
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path

from edge_runtime.bundle.folder import Bundle, file_digest
from edge_runtime.bundle.manifest import MANIFEST
from edge_runtime.deploy.payload import build_wheel
from tests.builders import RELEASED, ROOT
from tests.e2e.loopback import Loopback, missing, stand_in_for_systemd, start_sshd

CONFIGURATION = '[camera.front]\nsource = "synthetic:loop,realtime,fps=2"\n'
OTHER_DATE = (1999, 1, 1, 0, 0, 0)


def write_other_bundle(folder: Path) -> Path:
    """The released bundle with another encoder file and other arrays, which compute the same."""
    shutil.copytree(RELEASED, folder)
    with (folder / "encoder.tflite").open("ab") as encoder:
        encoder.write(bytes(16))
    for name in ("cohort.npz", "golden.npz", "looks.npz"):
        with zipfile.ZipFile(RELEASED / name) as old, zipfile.ZipFile(folder / name, "w", zipfile.ZIP_DEFLATED) as new:
            for entry in old.namelist():
                new.writestr(zipfile.ZipInfo(entry, OTHER_DATE), old.read(entry), zipfile.ZIP_DEFLATED)
    manifest = json.loads((folder / MANIFEST).read_text())
    for name in manifest["files"]:
        digest, size = file_digest(folder / name)
        manifest["files"][name] = {"sha256": digest, "bytes": size}
    (folder / MANIFEST).write_text(json.dumps(manifest))
    return Bundle(folder).path


def write_other_wheel(folder: Path) -> Path:
    """A wheel of this checkout with a line more."""
    source = folder / "checkout"
    source.mkdir(parents=True)
    shutil.copytree(ROOT / "edge_runtime", source / "edge_runtime", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    with (source / "edge_runtime/__init__.py").open("a") as module:
        module.write("# another version\n")
    return build_wheel(source, folder / "wheel")


def deploy(loopback: Loopback, root: Path, *more: str | Path) -> tuple[float, float]:
    """Deploy; MB sent, and seconds until the service was watched for 3 s."""
    own = ["--root", root, "--user", getpass.getuser(), "--watch", "3", *more]
    words = [sys.executable, "-m", "edge_runtime", "deploy", loopback.host, *loopback.options, *map(str, own)]
    began_s = time.monotonic()
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True)
    sent = re.search("sent ([0-9.]+) MB", done.stdout)
    if done.returncode or sent is None:
        sys.exit(f"familiar deploy: {done.stdout}{done.stderr}")
    return float(sent[1]), time.monotonic() - began_s


def main() -> None:
    """Measure once, and write a table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--bundle", type=Path, help="another one, of any encoder")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    if missing():
        sys.exit(missing())
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "sshd").mkdir()
        server, loopback = start_sshd(folder / "sshd")
        root = folder / "device"
        (root / "run/systemd/system").mkdir(parents=True)
        stand_in_for_systemd(loopback, root)
        (folder / "familiar.toml").write_text(CONFIGURATION)
        wheel = write_other_wheel(folder / "other")
        bundle = args.bundle or write_other_bundle(folder / "bundle")
        try:
            rows = [
                ("first", deploy(loopback, root, "--bundle", RELEASED, "--config", folder / "familiar.toml")),
                ("nothing is new", deploy(loopback, root, "--bundle", RELEASED)),
                ("the runtime is new", deploy(loopback, root, "--bundle", RELEASED, "--wheel", wheel)),
                ("the bundle is new", deploy(loopback, root, "--bundle", bundle, "--wheel", wheel)),
            ]
        finally:
            subprocess.run([loopback.commands / "systemctl", "stop", "familiar.service"])
            server.terminate()
    lines = [f"| {what} | {sent:.1f} | {seconds:.0f} |" for what, (sent, seconds) in rows]
    args.out.parent.mkdir(parents=True, exist_ok=True)
    head = ["`python -m tests.benchmarks.deployment`:", "", "| deployment | MB sent | s |", "|---|---|---|"]
    args.out.write_text("\n".join([*head, *lines]) + "\n")
    print(args.out.read_text())


if __name__ == "__main__":
    main()
