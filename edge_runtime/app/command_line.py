"""``familiar``: one error line and an exit code; a traceback only with ``--debug``."""

from __future__ import annotations

import argparse
import importlib
import io
import logging
import os
import signal
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from importlib.resources import files
from pathlib import Path
from types import FrameType

from edge_runtime.app.parser import Parser
from edge_runtime.errors import FamiliarError, InterpreterError
from edge_runtime.schema.backends import backend_names, load_backend
from edge_runtime.system.native_output import ABSL, without_lines
from edge_runtime.text.plain import PlainStream, printable
from edge_runtime.text.version import program_version

_COMMANDS = "edge_runtime.commands"
OWN_FAULT = "a fault of this program"
"""How a line begins that says what nobody expected."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code.

    SIGTERM leaves through the ``finally`` blocks: no process and nothing half-written stays behind.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    with _standard_streams():
        signal.signal(signal.SIGTERM, leave)
        return guarded(lambda: _run(arguments), "--debug" in arguments, "familiar")


def tool_main(package: str, description: str, verbs: Mapping[str, tuple[str, str]], argv: Sequence[str] | None) -> int:
    """The command line of a desktop package, as ``python -m train``; returns the exit code.

    Only the verb that is typed is imported, so that help and light verbs need no TensorFlow. SIGTERM leaves
    through the ``finally`` blocks: nothing half-written stays behind.

    Args:
        package: its name.
        description: of the whole.
        verbs: for each name its module in the package, with ``add_arguments(parser)`` and ``run(args) -> int``,
            and a summary.
        argv: without the program's name; None: the process's own.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    # TensorFlow's start-up notes would bury our own lines; an explicit setting of the user wins.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    parser = Parser(prog=f"python -m {package}", description=description)
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, (place, summary) in verbs.items():
        command = commands.add_parser(name, help=summary, description=summary)
        command.add_argument("--debug", action="store_true", help="show a traceback when something goes wrong")
        if arguments[:1] == [name]:
            try:
                with without_lines(*ABSL):
                    module = importlib.import_module(f"{package}.{place}")
            except ModuleNotFoundError as error:
                print(f"{package}: {error.name} is not installed; pip install -e '.[desktop]'", file=sys.stderr)
                return InterpreterError.exit_code
            except KeyboardInterrupt:  # importing TensorFlow takes seconds
                print(f"{package} {name}: interrupted", file=sys.stderr)
                return 128 + signal.SIGINT
            module.add_arguments(command)
            command.set_defaults(run=module.run)
    args = parser.parse_args(arguments)
    with _standard_streams():
        signal.signal(signal.SIGTERM, leave)
        return guarded(lambda: int(args.run(args)), args.debug, f"{package} {args.command}")


@contextmanager
def _standard_streams() -> Iterator[None]:
    """Standard streams that are open and plain: what others wrote moves no cursor, whoever prints it.

    Where a number of a standard stream is free, the next file that is opened would take it, and receive what is
    printed.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest free number, which is this one
    if sys.stdin is None:
        sys.stdin = Path(os.devnull).open(encoding="utf-8")  # noqa: SIM115
    before = sys.stdout, sys.stderr
    out, err = (stream or Path(os.devnull).open("w", encoding="utf-8") for stream in before)  # noqa: SIM115
    if isinstance(out, io.TextIOWrapper):
        out.reconfigure(errors="surrogateescape")  # file names that are not UTF-8 pass through as they are
    sys.stdout, sys.stderr = PlainStream(out, may_fail=False), PlainStream(err, may_fail=True)
    try:
        yield
    finally:
        with suppress(OSError, ValueError):
            err.flush()
        sys.stdout, sys.stderr = before


def leave(number: int, frame: FrameType | None) -> None:
    """A signal handler that ends the process through the ``finally`` blocks."""
    raise SystemExit(128 + number)


def guarded(action, debug: bool, program: str) -> int:  # type: ignore[no-untyped-def]
    """Call ``action`` and turn what goes wrong into one line on standard error and an exit code."""
    try:
        return int(action())
    except FamiliarError as error:
        if debug:
            raise
        print(f"{program}: {printable(str(error))}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print(f"{program}: interrupted", file=sys.stderr)
        return 128 + signal.SIGINT
    except BrokenPipeError:
        # The reader of our output is gone; keep Python from complaining once more at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE
    except OSError as error:
        if debug:
            raise
        where = f"{error.filename}: " if error.filename else ""
        print(f"{program}: {printable(f'{where}{error.strerror or error}')}", file=sys.stderr)
        return 1
    except Exception as error:
        if debug:
            raise
        fault = f"{type(error).__name__}: {error}"
        print(f"{program}: {OWN_FAULT} ({printable(fault)}); --debug shows where: report that", file=sys.stderr)
        return 1


def _run(arguments: Sequence[str]) -> int:
    parser = _parser(arguments)
    if not arguments:
        parser.print_help()
        return 0
    args = parser.parse_args(arguments)
    return int(args.run(args))


def _parser(arguments: Sequence[str]) -> argparse.ArgumentParser:
    common = Parser(add_help=False)
    common.add_argument("--config", metavar="FILE", help="configuration file (default: the user's, then /etc/familiar)")
    common.add_argument("--set", action="append", default=[], metavar="SECTION.KEY=VALUE", help="override one key")
    common.add_argument("--debug", action="store_true", help="show a traceback when something goes wrong")
    parser = Parser(prog="familiar", description="Tells familiar faces from strangers, on this device.")
    parser.add_argument("--version", action="version", version=f"familiar {program_version()}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    names = backend_names(_COMMANDS)
    typed = next((word for word in arguments if word in names), None)
    for name in names:
        if name == typed:
            module = load_backend(_COMMANDS, name, "command")
            sub = commands.add_parser(name, parents=[common], help=_summary(name), description=module.__doc__)
            module.add_arguments(sub)
            sub.set_defaults(run=module.run)
        else:  # Its name is all that help and the message about a mistake need; its module may load OpenCV.
            commands.add_parser(name, help=_summary(name))
    return parser


def _summary(command: str) -> str:
    """The first line of a command's module, which says what it does, without loading it."""
    with files(_COMMANDS).joinpath(f"{command}.py").open(encoding="utf-8") as source:
        return source.readline().strip().strip('"')


if __name__ == "__main__":
    sys.exit(main())
