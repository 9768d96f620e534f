"""``familiar``: one error line and an exit code; a traceback only with ``--debug``."""

from __future__ import annotations

import argparse
import io
import os
import signal
import sys
from collections.abc import Sequence

from edge_runtime.backends import backend_names, load_backend
from edge_runtime.errors import FamiliarError

_COMMANDS = "edge_runtime.commands"


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="surrogateescape")  # file names that are not UTF-8 pass through as they are
    arguments = list(sys.argv[1:] if argv is None else argv)
    parser = _parser(arguments)
    args = parser.parse_args(arguments)
    return guarded(lambda: int(args.run(args)), args.debug, "familiar")


def guarded(action, debug: bool, program: str) -> int:  # type: ignore[no-untyped-def]
    """Call ``action`` and turn what goes wrong into one line on standard error and an exit code."""
    try:
        return int(action())
    except FamiliarError as error:
        if debug:
            raise
        print(f"{program}: {error}", file=sys.stderr)
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
        print(f"{program}: {where}{error.strerror or error}", file=sys.stderr)
        return 1


def _parser(arguments: Sequence[str]) -> argparse.ArgumentParser:
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--config", metavar="FILE", help="configuration file (default: the user's, then /etc/familiar)")
    common.add_argument("--set", action="append", default=[], metavar="SECTION.KEY=VALUE", help="override one key")
    common.add_argument("--debug", action="store_true", help="show a traceback when something goes wrong")
    parser = argparse.ArgumentParser(
        prog="familiar", description="Tells familiar faces from strangers, on this device."
    )
    parser.add_argument("--version", action="version", version=_version())
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    names = backend_names(_COMMANDS)
    # A known first word needs only its own module; help and mistakes need them all.
    wanted = [arguments[0]] if arguments and arguments[0] in names else names
    for name in names:
        if name in wanted:
            module = load_backend(_COMMANDS, name, "command")
            summary = (module.__doc__ or "").partition("\n")[0]
            sub = commands.add_parser(name, parents=[common], help=summary, description=module.__doc__)
            module.add_arguments(sub)
            sub.set_defaults(run=module.run)
    return parser


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return f"familiar {version('familiar-edge')}"
    except PackageNotFoundError:
        return "familiar (not installed)"


if __name__ == "__main__":
    sys.exit(main())
