"""Tell a bundle of strangers who look alike, from chips of many people; its models stay as they are.

Of chips with a cohort split those are taken, of others all. One code a person; where a source names nobody, faces so
alike as two of three true pairs are not count as one person.
"""

from __future__ import annotations

import argparse
import dataclasses
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from convert.cohort.alike import Source, in_words, make_looks, one_each, stated_look
from convert.cohort.draw import person_means, person_tracks
from convert.model.sign import resign
from convert.model.writer import drafted, write_arrays, write_manifest
from convert.report.card import looks_section
from edge_runtime.bundle.folder import LOOKS_FILE, Bundle
from edge_runtime.bundle.looks import Looks
from edge_runtime.bundle.signature import SIGNATURE, load_private_key
from edge_runtime.errors import InputError
from edge_runtime.faces.encoder import TfliteEncoder, open_encoder
from edge_runtime.geometry.alignment import Template
from edge_runtime.geometry.embeddings import normalise
from edge_runtime.pictures.chips import Chips
from edge_runtime.types import Floats

_CARD = "CARD.md"
_BATCH = 256
_SAME_ABOVE = 2 / 3
_PAIRS_A_PERSON = 10
_FEWEST_PAIRS = 100


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("bundle", type=Path, metavar="BUNDLE", help="the folder to add it to")
    parser.add_argument(
        "--chips", type=Path, nargs="+", required=True, metavar="FILE", help="of python -m train prepare, of strangers"
    )
    parser.add_argument(
        "--people",
        type=Path,
        required=True,
        metavar="FILE",
        help="chips with names whose split select gives true pairs",
    )
    parser.add_argument("--sign", type=Path, metavar="KEY", help="private key (Ed25519, PEM) to sign the bundle with")


def run(args: argparse.Namespace) -> int:
    """Write the bundle anew with its looks; returns the exit code.

    Raises:
        InputError: chips that cannot be used, or too few people.
        BundleError: no bundle there, or it cannot be written.
    """
    if args.sign:
        load_private_key(args.sign)
    bundle = Bundle(args.bundle)
    given = [Chips.load(path) for path in args.chips]
    people = Chips.load(args.people)
    for chips in (*given, people):
        if chips.detector != bundle.manifest.detector:
            raise InputError(
                f"{chips.path}: expected chips by {bundle.manifest.detector}, found {chips.detector}; prepare them anew"
            )
    encoder = open_encoder(bundle)
    try:
        looks = looks_of(encoder, bundle.manifest.preprocessing.template, given, people)
    finally:
        encoder.close()
    source = "; ".join(dict.fromkeys(chips.source for chips in given))
    sheet = looks.sheet(source)
    with drafted(args.bundle, replace=True) as draft:
        for name in bundle.manifest.files:
            shutil.copy2(bundle.path / name, draft / name)
        write_arrays(draft / LOOKS_FILE, looks.as_arrays())
        card = (draft / _CARD).read_text(encoding="utf-8") if (draft / _CARD).is_file() else ""
        (draft / _CARD).write_text(looks_section(card, in_words(sheet), source), encoding="utf-8")
        write_manifest(draft, dataclasses.replace(bundle.manifest, looks=sheet))
        if args.sign:
            resign(draft, args.sign)
    unsigned = (bundle.signed_by is not None and not args.sign) * f"; {SIGNATURE} is gone, sign it again"
    print(f"{args.bundle}: {in_words(sheet)}{unsigned}")
    return 0


def looks_where_known(encoder: TfliteEncoder, template: Template, strangers: Chips, people: Chips) -> Looks | None:
    """What one file of strangers tells, where they are enough and ``people`` has true pairs; None: too few."""
    try:
        return looks_of(encoder, template, [strangers], people)
    except InputError:
        return None


def looks_of(encoder: TfliteEncoder, template: Template, given: Sequence[Chips], people: Chips) -> Looks:
    """Fit with an encoder's codes.

    Raises:
        InputError: too few people, or too few true pairs.
    """
    chosen = people.indices("select")
    tracks = person_tracks(_codes(encoder, people, chosen, template), people.names[chosen].tolist())
    pairs = [(t.views @ t.views.T)[np.triu_indices(len(t.views), 1)][:_PAIRS_A_PERSON] for t in tracks]
    own = np.concatenate(pairs) if pairs else np.zeros(0, np.float32)
    if len(own) < _FEWEST_PAIRS:
        raise InputError(
            f"{people.path}: expected at least {_FEWEST_PAIRS} true pairs in its split select, found {len(own)}; "
            "name chips of people with several photos"
        )
    same = float(np.quantile(own, _SAME_ABOVE))
    sources = [_source(encoder, chips, template, same) for chips in given]
    return make_looks(sources, own, [track.views for track in tracks])


def _source(encoder: TfliteEncoder, chips: Chips, template: Template, same: float) -> Source:
    indices = chips.indices("cohort")
    indices = indices if len(indices) else np.arange(len(chips.names))
    codes = _codes(encoder, chips, indices, template)
    if (chips.names[indices] != "").all():
        units = normalise(person_means(codes, chips.names[indices].tolist()).astype(np.float32))[0]
        return Source(units, np.full(len(units), ""))
    stated = np.array([stated_look(str(path), aged=True) for path in chips.paths[indices]])
    usable = codes.any(1)
    kept = one_each(codes[usable], same)
    return Source(codes[usable][kept], stated[usable][kept])


def _codes(encoder: TfliteEncoder, chips: Chips, indices: NDArray[np.int64], template: Template) -> Floats:
    parts = [indices[start : start + _BATCH] for start in range(0, len(indices), _BATCH)]
    shown = tqdm(parts, chips.path.stem, disable=None, delay=2, unit="batch")
    codes = [encoder.encode(chips.aligned(part, template))[0] for part in shown]
    return np.concatenate(codes) if codes else np.zeros((0, encoder.embedding_size), np.float32)
