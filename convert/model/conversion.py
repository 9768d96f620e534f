"""Turn a trained Keras encoder into a bundle: quantised, compared with the float model, with strangers and self-test.

A run brings its preprocessing, chips and lineage along. A bare .keras file or SavedModel must have them stated.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from convert.edgetpu.graph import int8_faults, loading_faults, read_graph
from convert.model.assembly import assemble
from convert.model.description import summary
from convert.model.options import add_bundle_options, add_preprocessing_options, make_order
from convert.model.order import Candidate
from convert.model.quantize import quantise
from convert.model.source import Source, Stated, conditions, open_source
from convert.recipe import RECIPES, Recipe
from edge_runtime.errors import BundleError
from edge_runtime.schema.recipe_file import recipe_names
from edge_runtime.types import Pixels


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "source", type=Path, metavar="RUN_OR_KERAS", help="a run's folder, a .keras encoder, or a SavedModel's folder"
    )
    parser.add_argument(
        "--recipe",
        default="int8",
        metavar="NAME|FILE",
        help=f"{', '.join(name for name in recipe_names(RECIPES) if name != 'as_is')}, or a .toml",
    )
    parser.add_argument(
        "--evaluation", type=Path, metavar="FILE", help="figures of train evaluate --conditions, for the model card "
        "(default: the run's own, if it was evaluated so)",
    )  # fmt: skip
    add_bundle_options(parser, "the run's")
    add_preprocessing_options(parser, "a bare .keras file or SavedModel, which has no run.json to say it")


def run(args: argparse.Namespace) -> int:
    order = make_order(args, conditions(args.source, args.evaluation))
    stated = Stated(args.size, args.colour, args.normalise, args.template)
    source = open_source(args.source, args.chips, stated, args.lineage)

    def make(fitting: Pixels, probe: Pixels) -> Candidate:
        made = quantise(source.encoder, source.preprocessing, order.recipe, fitting, probe)
        check_graph(made.model, source, order.recipe)
        return Candidate(made.model, made.reference, made.codes, made.versions)

    print(summary(args.out, assemble(source, make, order)))
    return 0


def check_graph(model: bytes, source: Source, recipe: Recipe) -> None:
    """See that a device's interpreters take what the converter made.

    Raises:
        BundleError: they do not, or a full-int8 recipe left something in float.
    """
    graph = read_graph(model, str(source.encoder))
    faults = int8_faults(graph, recipe.per_tensor_dense) if recipe.full_int8 else loading_faults(graph)
    if faults:
        more = f" ({len(faults)} faults in all)" if len(faults) > 1 else ""
        what = "full int8" if recipe.full_int8 else "for every interpreter"
        raise BundleError(
            f"{source.encoder}: not {what}: {faults[0]}{more}; take that layer out of the model "
            "(a code is normalised on the host)"
        )
