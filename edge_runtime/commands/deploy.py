"""Put wheel, bundle, configuration and service onto a device over ssh; if it fails, what ran before still runs.

--config FILE becomes the device's configuration; without it the device keeps its own, or gets a default one.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from edge_runtime.config import bundle_path, load_config
from edge_runtime.decision.refusal import PROMISE
from edge_runtime.deploy.deployment import Request, deploy
from edge_runtime.deploy.layout import Layout
from edge_runtime.errors import UsageError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    layout = Layout()
    parser.add_argument("host", metavar="USER@HOST", help="the device, or an alias of ssh's configuration")
    parser.add_argument("--bundle", type=Path, metavar="DIR", help="bundle to send (default: the one configured here)")
    parser.add_argument("--wheel", type=Path, metavar="FILE", help="wheel to send (default: built from this checkout)")
    parser.add_argument(
        "--wheelhouse", type=Path, metavar="DIR", help="wheels of everything needed, for a device without internet"
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
    parser.add_argument("--dry-run", action="store_true", help="look at the device, show the plan, change nothing")


def run(args: argparse.Namespace) -> int:
    """Deploy; ``--config`` names the configuration the device is to have.

    Raises:
        UsageError: ``--set``, which cannot be sent to a device.
    """
    if args.set:
        raise UsageError("deploy sends a configuration as a file; write the key into it instead of --set")
    request = Request(
        host=args.host,
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
    )
    deploy(request)
    return 0
