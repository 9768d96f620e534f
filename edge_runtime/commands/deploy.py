"""Put wheel, bundle, configuration and service onto a device over ssh; if it fails, what ran before still runs.

--config FILE becomes the device's configuration; without it the device keeps its own, or gets a default one.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from edge_runtime.config import bundle_path, load_config
from edge_runtime.decision.refusal import PROMISE
from edge_runtime.deploy.deployment import Request, deploy, roll_back
from edge_runtime.deploy.fleet import each, status_table
from edge_runtime.deploy.layout import Layout
from edge_runtime.errors import DeployError, UsageError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    layout = Layout()
    parser.add_argument(
        "hosts", nargs="+", metavar="USER@HOST", help="a device, or an alias of ssh's configuration; several, in turn"
    )
    parser.add_argument("--bundle", type=Path, metavar="DIR", help="bundle to send (default: the one configured here)")
    parser.add_argument("--wheel", type=Path, metavar="FILE", help="wheel to send (default: built from this checkout)")
    parser.add_argument(
        "--wheelhouse", type=Path, metavar="DIR", help="wheels to install (default: those locked for the device)"
    )
    parser.add_argument(
        "--reembed", action="store_true", help="with another encoder: make the embeddings of people enrolled again"
    )
    parser.add_argument(
        "--photos", action="append", default=[], type=Path, metavar="DIR",
        help="folder with the photos people were enrolled with, for --reembed; may be given again",
    )  # fmt: skip
    parser.add_argument(
        "--watch", type=int, default=20, metavar="SECONDS", help="watch the service so long before it is trusted (20)"
    )
    parser.add_argument("--port", type=int, help="of ssh")
    parser.add_argument("--identity", metavar="FILE", help="private key for ssh")
    parser.add_argument("-o", dest="options", action="append", default=[], metavar="KEY=VALUE", help="option of ssh")
    parser.add_argument("--prefix", default=layout.prefix, help=f"folder of the releases (default: {layout.prefix})")
    parser.add_argument(
        "--user", default=layout.user, help=f"account of the service, made if missing (default: {layout.user})"
    )
    parser.add_argument("--root", default="", help="folder put before every path of the device, to try it out")
    parser.add_argument(
        "--force", action="append", default=[], choices=(PROMISE,), help="send a bundle although it would name nobody"
    )
    others = parser.add_mutually_exclusive_group()
    others.add_argument("--dry-run", action="store_true", help="look at the device, show the plan, change nothing")
    others.add_argument("--rollback", action="store_true", help="go back to the release before the present one")
    others.add_argument("--status", action="store_true", help="a table of what each device runs, and its state")


def run(args: argparse.Namespace) -> int:
    """Deploy; ``--config`` names the configuration the device is to have.

    Raises:
        UsageError: ``--set``, which cannot be sent to a device, or options that do not go together.
    """
    if args.set:
        raise UsageError("deploy sends a configuration as a file; write the key into it instead of --set")
    if not 1 <= args.watch <= 3600:
        raise UsageError(f"--watch: expected 1 to 3600 seconds, received {args.watch}")
    if args.photos and not args.reembed:
        raise UsageError("--photos: expected --reembed beside it, which uses them")
    requests = [_request(args, host) for host in args.hosts]
    if args.status:
        lines, sound = status_table(requests)
        print("\n".join(lines))
        return 0 if sound else DeployError.exit_code
    each(requests, roll_back if args.rollback else deploy, print)
    return 0


def _request(args: argparse.Namespace, host: str) -> Request:
    return Request(
        host=host,
        bundle=args.bundle or bundle_path(load_config()),
        wheel=args.wheel,
        configuration=Path(args.config) if args.config else None,
        wheelhouse=args.wheelhouse,
        layout=Layout(args.prefix, args.root, args.user),
        port=args.port,
        identity=args.identity,
        options=args.options,
        dry_run=args.dry_run,
        forced=tuple(args.force),
        watch_s=args.watch,
        reembed=args.reembed,
        photos=tuple(args.photos),
    )
