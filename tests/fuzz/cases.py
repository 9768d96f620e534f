"""What must hold for every spoilt file: one line and an exit code, or an answer; never a traceback, never a hang."""

from __future__ import annotations

import contextlib
import io
import json
import signal
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

import numpy as np

from convert.__main__ import main as convert_main
from convert.edgetpu.graph import int8_faults, read_graph
from edge_runtime.app.command_line import main as familiar_main
from edge_runtime.bundle.folder import Bundle
from edge_runtime.bundle.manifest import MANIFEST, Manifest
from edge_runtime.bundle.signature import SIGNATURE, make_private_key, sign
from edge_runtime.errors import FamiliarError, InterpreterError
from edge_runtime.interpreters import try_model
from tests.builders import TINY_MODEL, make_bundle
from tests.convert.edgetpu.test_verdict import MAPS, REFUSED
from tests.convert.models import ModelMaker
from tests.fuzz.mutation import spoil_bytes, spoil_document

_CASE_LIMIT_S = 20


@dataclass
class Outcome:
    """What came of a run.

    Attributes:
        counts: how many cases ended how, by kind.
        failures: at most 20 cases that broke a promise, in words.
    """

    counts: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)


def run(cases: int, seed: int, native: int) -> Outcome:
    """Try spoilt files.

    Args:
        cases: how many, of which three in five are models, one in four manifests and the rest signed bundles.
        seed: of every mutation.
        native: how many spoilt models an interpreter is given, in a child each.
    """
    outcome = Outcome()
    with tempfile.TemporaryDirectory(prefix="familiar-fuzz-") as name:
        place = Path(name)
        tries = _kinds(place)
        shares = [("model", cases * 3 // 5), ("manifest", cases // 4), ("native", native)]
        shares.append(("bundle", cases - sum(count for _, count in shares)))
        for kind, count in shares:
            for index in range(max(count, 0)):
                rng = np.random.default_rng([seed, hash_of(kind), index])
                try:
                    with _within(_CASE_LIMIT_S):
                        outcome.counts[f"{kind}: {tries[kind](rng)}"] += 1
                except Exception as error:
                    outcome.counts[f"{kind}: BROKEN"] += 1
                    if len(outcome.failures) < 20:
                        outcome.failures.append(f"{kind} {index} of seed {seed}: {type(error).__name__}: {error}")
    return outcome


def hash_of(kind: str) -> int:
    return int.from_bytes(kind.encode()[:4], "little")


def _kinds(place: Path) -> dict[str, Callable[[np.random.Generator], str]]:
    models = [TINY_MODEL.read_bytes()]
    for make in (*MAPS.values(), *(make for make, _ in REFUSED.values())):
        maker = ModelMaker()
        make(maker)
        models.append(maker.finish(min_runtime_version="1.14.0"))
    bundle = make_bundle(place / "bundle").path
    manifest = (bundle / MANIFEST).read_bytes()
    sign(bundle, manifest, make_private_key(place / "key.pem"))
    signature = (bundle / SIGNATURE).read_bytes()
    document = json.loads(manifest)
    file = place / "m.tflite"

    def spoilt_model(rng: np.random.Generator) -> bytes:
        data = spoil_bytes(models[int(rng.integers(len(models)))], rng)
        # What is refused by its first bytes alone teaches nothing more than once.
        return data if rng.random() < 0.02 or len(data) < 8 else data[:4] + b"TFL3" + data[8:]

    def model(rng: np.random.Generator) -> str:
        data = spoilt_model(rng)
        file.write_bytes(data)
        with contextlib.suppress(FamiliarError):
            int8_faults(read_graph(data))
        code = _told(lambda: convert_main(["gate", str(file)]))
        assert code in (0, 1, 4), f"exit code {code}"
        return {0: "maps", 1: "does not map", 4: "one line"}[code]

    def parsed(rng: np.random.Generator) -> str:
        if rng.random() < 0.4:
            text = spoil_bytes(manifest, rng).decode(errors="surrogateescape")
        else:
            text = json.dumps(spoil_document(document, rng))
        try:
            Manifest.parse(text)
        except FamiliarError as error:
            _one_line(str(error))
            return "one line"
        return "taken"

    def opened(rng: np.random.Generator) -> str:
        which, whole = (MANIFEST, manifest) if rng.random() < 0.5 else (SIGNATURE, signature)
        changed = spoil_bytes(whole, rng)
        (bundle / which).write_bytes(changed)
        try:
            code = _told(lambda: familiar_main(["bundle", "show", str(bundle)]))
            with contextlib.suppress(FamiliarError):
                Bundle(bundle)
                assert changed == whole, f"{which} was changed and the bundle taken"
        finally:
            (bundle / which).write_bytes(whole)
        assert code == 6 or changed == whole, f"exit code {code}"
        return "one line"

    def native(rng: np.random.Generator) -> str:
        file.write_bytes(spoilt_model(rng))
        try:
            try_model(file)
        except InterpreterError as error:
            _one_line(str(error))
            return "the child died" if "died of this model" in str(error) else "one line"
        return "ran"

    return {"model": model, "manifest": parsed, "bundle": opened, "native": native}


def _told(command: Callable[[], int]) -> int:
    """Run a command; its exit code, once what it wrote was seen to be fit for people."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = command()
    told = err.getvalue()
    assert "\x1b" not in out.getvalue() + told, "an escape sequence reached the terminal"
    if code not in (0, 1):
        assert told.count("\n") == 1, f"expected one line, found {told!r}"
    _one_line(told.rstrip("\n"))
    return code


def _one_line(message: str) -> None:
    assert "\n" not in message and "Traceback" not in message, f"expected one line, found {message!r}"


@contextlib.contextmanager
def _within(limit_s: int) -> Iterator[None]:
    """Break off what hangs."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise TimeoutError(f"no answer within {limit_s} s")

    old = signal.signal(signal.SIGALRM, stop)
    signal.alarm(limit_s)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, old)
