"""The options that ``model`` and ``wrap`` have in common."""

from __future__ import annotations

import argparse
import functools
from pathlib import Path

from convert.model.order import Order
from convert.model.sign import resign
from convert.model.writer import check_target
from convert.recipe import load_recipe
from convert.report.measurement import CHECKS
from edge_runtime.bundle.figures import Record
from edge_runtime.bundle.signature import load_private_key
from edge_runtime.pictures.chips import Chips


def add_bundle_options(parser: argparse.ArgumentParser, default_chips: str) -> None:
    """What the bundle is to be."""
    parser.add_argument("--out", type=Path, required=True, metavar="BUNDLE", help="the folder to make")
    parser.add_argument("--replace", action="store_true", help="put the new bundle in the place of an old one")
    parser.add_argument("--name", help="of the bundle (default: the folder's)")
    parser.add_argument(
        "--chips", type=Path, metavar="FILE", help=f"chips of python -m train prepare (default: {default_chips})"
    )
    parser.add_argument(
        "--cohort", type=Path, metavar="FILE", help="chips of strangers, everybody in it counts (default: the chips' "
        "own cohort)",
    )  # fmt: skip
    parser.add_argument(
        "--detector", type=Path, metavar="FOLDER", help="of convert detector, or a bundle, to take along (default: the "
        "released bundle's, if the chips were made with it)",
    )  # fmt: skip
    parser.add_argument("--licence", metavar="TEXT", help="of the weights (default: that of what they were made from)")
    parser.add_argument("--sign", type=Path, metavar="KEY", help="private key (Ed25519, PEM) to sign the bundle with")
    parser.add_argument(
        "--force", action="append", default=[], choices=CHECKS, metavar="CHECK",
        help=f"write it although it fails this one of {', '.join(CHECKS)}; repeatable",
    )  # fmt: skip


def add_preprocessing_options(parser: argparse.ArgumentParser, what: str) -> None:
    """What nothing but a person can say of a bare model."""
    bare = parser.add_argument_group(what)
    bare.add_argument("--size", metavar="SIDE|WxH", help="of a chip, px")
    bare.add_argument("--colour", choices=("rgb", "bgr", "grey"))
    bare.add_argument("--normalise", metavar="MEAN/STD", help="in 0..255, as 127.5/127.5; 0/1 for a model that does it")
    bare.add_argument("--template", metavar="arcface[:MARGIN]|JSON", help="where the five landmarks go")
    bare.add_argument(
        "--lineage", action="append", default=[], metavar="TEXT", help="what it was trained on; repeatable"
    )


def make_order(args: argparse.Namespace, conditions: Record | None = None) -> Order:
    """The order given on the command line, checked before anything takes long.

    Args:
        args: of the options above.
        conditions: see ``Order``.

    Raises:
        ConfigError: a recipe that cannot be used.
        UsageError: a folder that may not be written.
        InputError: chips of strangers or a key that cannot be used.
    """
    recipe = load_recipe(args.recipe)
    check_target(args.out, args.replace)
    strangers = Chips.load(args.cohort) if args.cohort else None
    finish = None
    if args.sign:
        load_private_key(args.sign)
        finish = functools.partial(resign, key_file=args.sign)
    return Order(
        args.out,
        recipe,
        args.name,
        strangers,
        args.licence,
        tuple(args.force),
        args.replace,
        finish,
        args.detector,
        conditions or {},
    )
