"""Watch the cameras and print each event, until SIGTERM, Ctrl-C or the end of the clips.

On a terminal an event is a sentence, elsewhere one JSON line; with --json always.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from edge_runtime.config import CameraConfig, Config, check_camera_name, check_output, config_file, load_config, sinks
from edge_runtime.control.protocol import Answer
from edge_runtime.decision.refusal import PROMISE
from edge_runtime.errors import ControlError, FamiliarError, UsageError
from edge_runtime.sinks import SinkConfig
from edge_runtime.text.address import Address
from edge_runtime.text.plain import PlainStream, printable

if TYPE_CHECKING:
    from edge_runtime.daemon.checkup import Examine

_EXAMINATION = "import sys; sys.path[:] = {path!r}; from edge_runtime.commands.run import print_examination as go; go()"
_EXAMINATION_S = 100
_NICE = 10


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--camera",
        action="append",
        default=[],
        metavar="NAME=SPEC",
        help="add a camera: v4l2:0, rpicam:0, rtsp://… or http://…, file:clip.mp4, dir:photos or synthetic:",
    )
    parser.add_argument("--json", action="store_true", help="print JSON lines on a terminal too")
    parser.add_argument(
        "--save", type=Path, metavar="OUT.mp4", help="write a video with what was found; with several cameras one each"
    )
    parser.add_argument("--self-test", action="store_true", help="try everything without a camera, and end")
    parser.add_argument(
        "--force",
        action="append",
        default=[],
        choices=(PROMISE,),
        help="let the self-test pass although nobody would be named",
    )


def run(args: argparse.Namespace) -> int:
    if args.self_test:
        from edge_runtime.daemon.selftest import self_test

        print(self_test(_config(args), args.force))
        return 0
    from edge_runtime.daemon.recording import Recording
    from edge_runtime.daemon.service import Service
    from edge_runtime.system.log import log

    def tell(lines: list[str]) -> None:
        for line in lines:
            log.info(printable(line))

    config = _config(args)
    log.configure(config.log)
    if isinstance(sys.stderr, PlainStream):
        sys.stderr.wait_for_nobody()
    with ExitStack() as stack:
        recording = None
        if args.save:
            recording = stack.enter_context(Recording(check_output(config, args.save), list(config.camera)))
        service = stack.enter_context(Service(config, lambda: _config(args), recording, _examiner(args)))
        try:
            service.run(lambda: tell(service.opening()))
        finally:
            tell(service.summary())
    return 0


def _examiner(args: argparse.Namespace) -> Examine:
    """What looks at the device as ``familiar doctor`` does, for a daemon that is asked to.

    It loads detector and encoder again: in a process of its own, which gives the memory back and holds up no frame.
    """
    given = {name: getattr(args, name) for name in ("config", "set", "camera", "json")}

    def examine(status: Answer) -> list[Answer]:
        done = subprocess.run(
            [sys.executable, "-c", _EXAMINATION.format(path=sys.path)],
            input=json.dumps([given, status]),
            capture_output=True,
            text=True,
            timeout=_EXAMINATION_S,
        )
        if done.returncode:
            raise ControlError(f"the examination ended with {done.returncode}; familiar doctor says more")
        rows: list[Answer] = json.loads(done.stdout)
        return rows

    return examine


def print_examination() -> None:
    """The process: how ``familiar run`` was called and the daemon's status come in, rows as JSON go out."""
    from edge_runtime import doctor

    os.nice(_NICE)
    given, status = json.load(sys.stdin)
    args = argparse.Namespace(**given)
    examination = doctor.Examination(Config(), str(config_file(args.config)), status=status)
    try:
        examination.config = _config(args)
    except FamiliarError as error:
        examination.config_error = error
    print(json.dumps([dataclasses.asdict(row) for row in doctor.examine(examination)]))


def _config(args: argparse.Namespace) -> Config:
    """The configuration with the command line's cameras in it."""
    config = load_config(args.config, args.set)
    added: dict[str, CameraConfig] = {}
    for given in args.camera:
        name, equals, spec = given.partition("=")
        if not (name and equals and spec):
            raise UsageError(f"--camera {given!r}: expected NAME=SPEC, as --camera front=v4l2:0")
        check_camera_name(name)
        added[name] = dataclasses.replace(config.camera.get(name, CameraConfig()), source=Address(spec))
    config = dataclasses.replace(config, camera={**config.camera, **added})
    return dataclasses.replace(config, sink=tuple(map(_never_readable, sinks(config)))) if args.json else config


def _never_readable(sink: SinkConfig) -> SinkConfig:
    if sink.type != "jsonlines":
        return sink
    return dataclasses.replace(sink, settings=dataclasses.replace(sink.settings, readable="never"))
