# ruff: noqa: E501 -- tables of odd values
"""Commands given what nobody means: one line for a fault, an exit code of the table, no traceback and no hang."""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
import signal
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import FrameType
from typing import Any

import cv2
import numpy as np

from edge_runtime.app.command_line import OWN_FAULT, main
from edge_runtime.commands.gallery import _PASSPHRASE_VARIABLE
from tests.builders import ROOT, draw_face, make_bundle, write_manifest
from tests.fuzz.mutation import spoil_bytes

CODES = {*range(17), 20, 21, 141}
"""docs/reference.md, without what a signal ends."""
_LIMIT_S = 60
_CONFIG = """
[camera.front]
source = "v4l2:0?size=1280x720&fps=15"
deadline_s = 10.0
[camera."back door"]
source = "rtsp://bob:s3cr3t9!@127.0.0.1:9/live"
[detect]
every = 2
[decide]
false_accepts_per_1000_strangers = 1.0
strangers = "alike"
[images]
max_megapixels = 12.5
[events]
keep_days = 3
[[sink]]
type = "jsonlines"
path = "events.jsonl"
[log]
names = true
level = "info"
"""
_VALUES = (
    "1e300", "-1e300", "nan", "inf", "-inf", "0", "-1", "99999999999999999999", "9" * 5000, "true", '""', '"x"', "[]", "{}",
    "[[1]]", "1979-05-27", '"\\u0000"', '"\\u202e"', '"a\\nb"', "'" + "x" * 4000 + "'", '"../../etc/passwd"', '"/dev/zero"',
    '"rtsp://bob:s3cr3t9!#@h/x"', '"file:/dev/zero"', "'''\n\n'''", '"\\ud800"', "0x7fffffffffffffffffff", "1_0", "+", "[" * 900,
)  # fmt: skip
_NAMES = (
    "", " ", "a", "Ada", "ada", "\u202eadA", "x" * 70, "x" * 4000, "\udcff\udcfe", "\x00", "\n", "\x1b[2J", "-", "--", "-1", "../x",
    "a/b", "e\u0301", "\u200d", "\ufeff", "\U0001f468\u200d\U0001f469", "%s%n", "'; drop table people; --", "NaN", "1e300", "0",
)  # fmt: skip
_WORDS = (
    "--json", "--all", "--debug=", "--yes", "--force", "--camera", "--since", "--kind", "--set", "--config", "--out", "--help",
    "--version", "--expires", "--consent", "--views", "--merge", "--signer", "show", "list", "check", "verify", "unknown", "30m",
    "2030-13-45", "never", "9999999999999999999999", "decide.margin=1e300", "log.level", "camera.x.source=v4l2:0?size=1x1",
    "=", "a=b", "nothing.here=1", "decide.margin=nan", "camera..source=x", "images.max_megapixels=-0",
)  # fmt: skip
_COMMANDS = (
    "config", "people", "gallery", "events", "explain", "bundle", "strangers", "status", "identify", "calibrate", "enroll",
    "embed", "doctor", "bench", "run", "deploy", "demo", "conf\u0130g", "",
)  # fmt: skip
_READERS = (
    ("config", "check"), ("config", "show"), ("config", "check", "--json"), ("people", "list"), ("events",), ("strangers",),
    ("status",), ("explain", "1"), ("gallery", "show"), ("people", "check"),
)  # fmt: skip


class HungError(BaseException):
    """Not an ``Exception``: a command must not be able to take it for a fault of its own."""


class Hostile:
    """A home with one person, an export, a bundle, a photo, and files made to hurt, in a folder of its own."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.kinds: dict[str, Callable[[np.random.Generator], list[str]]] = {
            "arguments": self._arguments,
            "configuration": self._configuration,
            "override": self._override,
            "name": self._name,
            "file": self._file,
            "key": self._key,
            "image": self._image,
            "bundle": self._bundle,
            "export": self._export,
        }
        self._environment = {
            "HOME": str(place), "XDG_CONFIG_HOME": str(place / "conf"), "XDG_STATE_HOME": str(place / "state"),
            "XDG_RUNTIME_DIR": str(place / "run"), _PASSPHRASE_VARIABLE: "correct horse battery",
        }  # fmt: skip
        self._bundle_path = make_bundle(place / "bundle", strangers=60).path
        self._environment["FAMILIAR_BUNDLE_PATH"] = str(self._bundle_path)
        self._photo = place / "ada.jpg"
        cv2.imwrite(str(self._photo), draw_face(0)[:, :, ::-1])
        shutil.copytree(self._bundle_path, place / "spoilt")
        os.mkfifo(place / "fifo")
        (place / "folder").mkdir()
        (place / "loop").symlink_to("loop")
        self._odd = [*(str(place / name) for name in ("fifo", "folder", "loop", "missing", "ada.jpg", "bundle"))]
        self._odd += ["", "\udcff", "x" * 300, "."]
        # Nodes of its own: a command that replaces what it writes to must not find the machine's.
        for name, minor in (("null", 3), ("zero", 5), ("full", 7)):
            with contextlib.suppress(PermissionError):
                os.mknod(place / name, 0o666 | stat.S_IFCHR, os.makedev(1, minor))
                self._odd.append(str(place / name))
        with self.home():
            for arguments in (["enroll", "Ada", str(self._photo)], ["gallery", "export", str(place / "whole.export")]):
                code, _, err = called(arguments)
                assert code == 0, err
        self._images = [self._photo.read_bytes()]
        for suffix in (".png", ".bmp", ".webp"):
            self._images.append(cv2.imencode(suffix, draw_face(1, 80)[:, :, ::-1])[1].tobytes())

    @contextlib.contextmanager
    def home(self) -> Iterator[None]:
        """With this home's environment, and no other."""
        before, here = dict(os.environ), Path.cwd()
        for name in [name for name in os.environ if name.startswith("FAMILIAR_") or name.endswith("_DIRECTORY")]:
            del os.environ[name]
        os.environ.update(self._environment)
        os.chdir(self.place)
        try:
            yield
        finally:
            os.chdir(here)
            os.environ.clear()
            os.environ.update(before)

    def environment(self) -> dict[str, str]:
        """For a process of its own."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("FAMILIAR_")}
        return {**kept, **self._environment, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}

    def _arguments(self, rng: np.random.Generator) -> list[str]:
        command = _pick(rng, _COMMANDS)
        words = [_pick(rng, (*_WORDS, *_NAMES, *self._odd)) for _ in range(int(rng.integers(0, 5)))]
        # What would start something that goes on for ever, or takes minutes by itself, is given a mistake to find.
        mistake = {
            "run": ["--set", "x"],
            "demo": ["--no"],
            "deploy": ["--no"],
            "bench": ["--frames", "0"],
            "doctor": ["--no"],
        }
        words += mistake.get(command, [])
        words = [word for word in words if word not in ("--follow", "--debug")]
        return [command, *words]

    def _configuration(self, rng: np.random.Generator) -> list[str]:
        path = self.place / "spoilt.toml"
        if rng.random() < 0.5:
            path.write_bytes(spoil_bytes(_CONFIG.encode(), rng))
        else:
            lines = _CONFIG.splitlines()
            for _ in range(int(rng.integers(1, 4))):
                at = int(rng.integers(len(lines)))
                key = lines[at].partition("=")[0].strip() or "x"
                lines[at] = f"{key} = {_pick(rng, _VALUES)}" if "=" in lines[at] else f"[{_pick(rng, _VALUES)}]"
            path.write_text("\n".join(lines), errors="surrogateescape")
        return [*_pick(rng, _READERS), "--config", str(path)]

    def _override(self, rng: np.random.Generator) -> list[str]:
        keys = ("decide.margin", "camera.a.source", "camera.a.deadline_s", "gallery.path", "gallery.key_file", "events.db",
                "events.path", "log.level", "bundle.path", "control.socket", "images.max_megapixels", "detect.detector",
                "runtime.threads", "bundle.trusted_keys", "sink", "camera")  # fmt: skip
        value = _pick(rng, (*(text.strip('"') for text in _VALUES), *_NAMES, *self._odd))
        return [*_pick(rng, _READERS), "--set", f"{_pick(rng, keys)}={value}"]

    def _name(self, rng: np.random.Generator) -> list[str]:
        one, other = _pick(rng, _NAMES), _pick(rng, _NAMES)
        return list(_pick(rng, (
            ("people", "show", one), ("people", "note", one, "--consent", other), ("people", "note", one, "--expires", other),
            ("people", "forget", one, "--json"), ("people", "merge", one, other), ("people", "unmerge", one), ("people", "drop", one, other), ("strangers", "show", one),
            ("strangers", "name", one, other), ("events", "--camera", one, "--since", other), ("explain", one),
            ("people", "rename", one + "\x00", other), ("enroll", one, str(self.place / "missing"), "--expires", other),
        )))  # fmt: skip

    def _file(self, rng: np.random.Generator) -> list[str]:
        path = _pick(rng, self._odd)
        return list(_pick(rng, (
            ("config", "show", "--config", path), ("people", "list", "--set", f"gallery.path={path}"),
            ("bundle", "show", path), ("bundle", "diff", path, str(self._bundle_path)), ("gallery", "import", path),
            ("people", "list", "--set", f"gallery.key_file={path}"), ("events", "--set", f"events.db={path}"),
            ("status", "--set", f"control.socket={path}"), ("gallery", "export", path), ("gallery", "backup", path),
            ("bundle", "verify", "--set", f"bundle.trusted_keys={path}"), ("status", "--snapshot", path),
        )))  # fmt: skip

    def _key(self, rng: np.random.Generator) -> list[str]:
        path = self.place / "spoilt.key"
        whole = (self.place / "conf/familiar/device.key").read_bytes()
        path.unlink(missing_ok=True)
        path.write_bytes(spoil_bytes(whole, rng) if rng.random() < 0.8 else rng.bytes(int(rng.integers(0, 200))))
        path.chmod(int(_pick(rng, (0o600, 0o644, 0o000, 0o666))))
        return ["people", "list", "--set", f"gallery.key_file={path}"]

    def _image(self, rng: np.random.Generator) -> list[str]:
        folder = self.place / "photos"
        folder.mkdir(exist_ok=True)
        for number in range(_IMAGES_EACH):
            whole = self._images[int(rng.integers(len(self._images)))]
            (folder / f"{number}.jpg").write_bytes(spoil_bytes(whole, rng))
        return list(
            _pick(rng, (("identify", str(folder), "--json"), ("embed", str(folder), "--out", "codes.npz", "--json")))
        )

    def _bundle(self, rng: np.random.Generator) -> list[str]:
        """Spoilt arrays, with a manifest that has their sums."""
        bundle = self.place / "spoilt"
        shutil.rmtree(bundle)
        shutil.copytree(self._bundle_path, bundle)
        if rng.random() < 0.6:
            name = _pick(rng, ("cohort.npz", "golden.npz", "detector_golden.npz"))
            if (bundle / name).exists():
                (bundle / name).write_bytes(spoil_bytes((bundle / name).read_bytes(), rng))
            write_manifest(bundle, strangers=60)
        else:
            path = bundle / "manifest.json"
            path.write_bytes(spoil_bytes(path.read_bytes(), rng))
        verbs = (("bundle", "verify"), ("bundle", "show"), ("calibrate",), ("identify", str(self._photo)))
        return [*_pick(rng, verbs), "--set", f"bundle.path={bundle}"]

    def _export(self, rng: np.random.Generator) -> list[str]:
        path = self.place / "spoilt.export"
        path.write_bytes(spoil_bytes((self.place / "whole.export").read_bytes(), rng))
        return ["gallery", "import", str(path), "--merge"]


def _pick(rng: np.random.Generator, choices: Sequence[Any]) -> Any:
    return choices[int(rng.integers(len(choices)))]


_IMAGES_EACH = 10
SHARES = {
    "arguments": 0.25, "configuration": 0.4, "override": 0.15, "name": 0.08, "file": 0.06, "key": 0.02, "image": 0.01,
    "bundle": 0.01, "export": 0.02,
}  # fmt: skip
"""An image's case has ten images."""


def run_one(hostile: Hostile, kind: str, rng: np.random.Generator, real: bool) -> str:
    """Try one case; how it ended, in a word.

    Raises:
        AssertionError: it broke a promise.
    """
    arguments = hostile.kinds[kind](rng)
    if real:
        arguments = [word for word in arguments if "\0" not in word]
        done = subprocess.run(
            [sys.executable, "-m", "edge_runtime", *(word.encode(errors="surrogateescape") for word in arguments)],
            env=hostile.environment(), cwd=hostile.place, capture_output=True, timeout=_LIMIT_S, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        code, out, err = done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace")
    else:
        with hostile.home():
            code, out, err = called(arguments)
    check(arguments, code, out, err)
    return f"exit code {code}"


def called(arguments: list[str]) -> tuple[int, str, str]:
    """One command in this process: exit code, standard output and standard error."""

    def hung(number: int, frame: FrameType | None) -> None:
        raise HungError(f"no end within {_LIMIT_S} s")

    out, err = io.StringIO(), io.StringIO()
    old = signal.signal(signal.SIGALRM, hung)
    signal.alarm(_LIMIT_S)
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            before, sys.stdin = sys.stdin, io.StringIO()  # nobody is there to be asked
            try:
                code = main(arguments)
            except SystemExit as left:
                code = int(left.code or 0)
            finally:
                sys.stdin = before
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, old)
    return code, out.getvalue(), err.getvalue()


def check(arguments: list[str], code: int, out: str, err: str) -> None:
    """What holds for every command."""
    told = f"{arguments!a} ended with {code}: {err[-600:]!a}"
    assert code in CODES, told
    assert OWN_FAULT not in err, told
    assert "Traceback" not in err and "\x1b" not in out + err, told
    assert "s3cr3t9" not in out + err, told
    assert code == 0 or err or code in (1, 4, 20, 21), f"nothing was said: {told}"
    lines = err.splitlines()
    usage = bool(lines) and lines[0].startswith("usage:")
    several = arguments[:2] == ["config", "check"] or arguments[:1] in (["identify"], ["embed"], ["enroll"])
    assert usage or several or len(lines) <= 1 or all(line.startswith("familiar") for line in lines[:-1]), told
    assert code == 0 or usage or several or sum(not line.startswith("familiar: info") for line in lines) <= 3, told
    if "--json" in arguments and code == 0 and out.strip() and "--help" not in arguments:
        for text in [out] if out.lstrip().startswith(("{\n", "[\n", "[]")) else out.splitlines():
            json.loads(text)
