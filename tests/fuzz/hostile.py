"""Runs of hostile commands and of hostile messages to the control socket."""

from __future__ import annotations

import contextlib
import io
import json
import socket
import struct
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from edge_runtime.app.people import open_people
from edge_runtime.config import parse_config
from edge_runtime.control.client import ControlClient
from edge_runtime.control.server import ControlServer
from edge_runtime.requests.table import TABLE
from edge_runtime.system.log import log
from tests.builders import make_bundle
from tests.fuzz.cases import Outcome, hash_of
from tests.fuzz.commands import SHARES, Hostile, HungError, run_one
from tests.fuzz.mutation import VALUES, spoil_bytes, spoil_document

_MOST_FAILURES = 20
_ERRORS = {
    "UsageError",
    "ControlError",
    "InputError",
    "MissingError",
    "GalleryError",
    "ImageError",
    "EnrolmentError",
    "UnknownsError",
    "CameraError",
}


def run_commands(count: int, seed: int, real: int) -> Outcome:
    """Hostile commands.

    Args:
        count: how many.
        seed: of every choice.
        real: how many of them as processes of their own, spread evenly.
    """
    outcome = Outcome()
    with tempfile.TemporaryDirectory(prefix="familiar-fuzz-") as name:
        hostile = Hostile(Path(name))
        every = max(count // real, 1) if real else count + 1
        for index in range(count):
            rng = np.random.default_rng([seed, hash_of("commands"), index])
            kind = str(rng.choice(list(SHARES), p=list(SHARES.values())))
            try:
                outcome.counts[f"{kind}: {run_one(hostile, kind, rng, index % every == every - 1)}"] += 1
            except (Exception, HungError) as error:
                _broken(outcome, kind, index, seed, error)
    return outcome


def run_messages(count: int, seed: int) -> Outcome:
    """Hostile messages to a control socket with the people of real files behind it."""
    outcome = Outcome()
    with tempfile.TemporaryDirectory(prefix="familiar-fuzz-") as name, contextlib.ExitStack() as stack:
        place = Path(name)
        config = parse_config({
            "bundle": {"path": str(make_bundle(place / "bundle", strangers=60).path)},
            "gallery": {"path": str(place / "state/gallery.db"), "key_file": str(place / "conf/device.key")},
            "control": {"socket": str(place / "control.sock")},
        })  # fmt: skip
        people = stack.enter_context(open_people(config, enrolling=True, strangers=True))
        server = stack.enter_context(ControlServer(Path(config.control.socket), people.call, share=1.0))
        said = stack.enter_context(contextlib.redirect_stderr(io.StringIO()))
        client = ControlClient(server.path)
        for index in range(count):
            rng = np.random.default_rng([seed, hash_of("messages"), index])
            try:
                outcome.counts[f"message: {_exchanged(server.path, _message(rng))}"] += 1
                assert not said.getvalue(), said.getvalue()[-600:]
                if index % 100 == 0:
                    assert client.call("people.list", {}).keys() == {"people"}
            except Exception as error:
                _broken(outcome, "message", index, seed, error)
                said.seek(0)
                said.truncate()
                log.flush()
    return outcome


def _broken(outcome: Outcome, kind: str, index: int, seed: int, error: BaseException) -> None:
    outcome.counts[f"{kind}: BROKEN"] += 1
    if len(outcome.failures) < _MOST_FAILURES:
        outcome.failures.append(f"{kind} {index} of seed {seed}: {type(error).__name__}: {error}")


def _message(rng: np.random.Generator) -> bytes:
    """A request with what its fields should not hold, spoilt bytes of one, or bytes alone."""
    command = str(rng.choice([*TABLE, "people", "", "enroll.look\x00"]))
    fields = [
        "name",
        "old",
        "new",
        "source",
        "stranger",
        "photo",
        "sizes",
        "box",
        "force",
        "consent",
        "expires",
        "template_id",
    ]
    if command in TABLE:
        fields = [*TABLE[command].kind.__dataclass_fields__, "name"]
    chosen = [field for field in fields if rng.random() < 0.8]
    arguments = {field: VALUES[int(rng.integers(len(VALUES)))] for field in chosen}
    payload = rng.bytes(int(rng.integers(0, 300))) if rng.random() < 0.3 else b""
    document: dict[str, Any] = {"command": command, "arguments": arguments, "payload": len(payload)}
    if rng.random() < 0.3:
        document = spoil_document(document, rng)
    try:
        text = json.dumps(document).encode()
    except ValueError:  # an integer longer than Python writes
        text = b'{"command": "status"}'
    whole = struct.pack(">I", len(text)) + text + payload
    kind = rng.random()
    if kind < 0.2:
        whole = spoil_bytes(whole, rng)
    elif kind < 0.3:
        spoilt = spoil_bytes(text, rng)
        whole = struct.pack(">I", len(spoilt)) + spoilt + payload
    elif kind < 0.35:
        whole = rng.bytes(int(rng.integers(0, 64)))
    return whole


def _exchanged(path: Path, message: bytes) -> str:
    """What the server makes of a message, in a word; it must be an answer, one line, or the end of the connection."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(30)
        connection.connect(str(path))
        with contextlib.suppress(BrokenPipeError):
            connection.sendall(message)
        with contextlib.suppress(OSError):
            connection.shutdown(socket.SHUT_WR)
        answer = bytearray()
        with contextlib.suppress(ConnectionResetError):
            while chunk := connection.recv(1 << 16):
                answer += chunk
    if not answer:
        return "cut off"
    (length,) = struct.unpack(">I", answer[:4])
    assert length == len(answer) - 4, f"{length} bytes announced, {len(answer) - 4} sent"
    document = json.loads(answer[4:])
    if "answer" in document:
        return "answered"
    assert document["error"] in _ERRORS, document
    assert "\n" not in document["message"] and "\x1b" not in document["message"], document
    return str(document["error"])
