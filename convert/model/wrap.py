"""Make a bundle from somebody's .tflite face encoder, as it is: its preprocessing is stated, never guessed.

Chips of python -m train prepare show how well it recognises people, and whether what was stated can be right.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from convert.edgetpu.gate import read_model
from convert.edgetpu.graph import read_graph
from convert.model.assembly import assemble
from convert.model.description import summary
from convert.model.options import add_bundle_options, add_preprocessing_options, make_order
from convert.model.order import Candidate
from convert.model.source import Stated, open_source
from edge_runtime.errors import InputError
from edge_runtime.interpreters import try_model
from edge_runtime.types import Pixels


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("source", type=Path, metavar="ENCODER.tflite", help="one input (1, h, w, C), one output (1, D)")
    parser.add_argument("--reference", type=Path, metavar="FLOAT.tflite", help="the float model it was made from")
    parser.add_argument("--recipe", default="as_is", metavar="NAME|FILE", help="as_is, or a .toml with its keys")
    add_bundle_options(parser, "none, name some")
    add_preprocessing_options(parser, "what the model expects")


def run(args: argparse.Namespace) -> int:
    order = make_order(args)
    model = checked_model(args.source)
    reference = checked_model(args.reference) if args.reference else None
    stated = Stated(args.size, args.colour, args.normalise, args.template)
    source = open_source(args.source, args.chips, stated, args.lineage)

    def make(fitting: Pixels, probe: Pixels) -> Candidate:
        return Candidate(model, reference, None, {})

    print(summary(args.out, assemble(source, make, order)))
    return 0


def checked_model(path: Path) -> bytes:
    """A model's file, which an interpreter in a process of its own has opened and run.

    Raises:
        InputError: no such file, damaged, or of more than one input or output.
        InterpreterError: the interpreter refuses it or dies of it.
    """
    data = read_model(path)
    graph = read_graph(data, str(path))
    if len(graph.inputs) != 1 or len(graph.outputs) != 1 or graph.subgraphs != 1:
        raise InputError(
            f"{path}: expected one input, one output and one subgraph, found {len(graph.inputs)}, "
            f"{len(graph.outputs)} and {graph.subgraphs}; export the encoder alone"
        )
    try_model(path)
    return data
