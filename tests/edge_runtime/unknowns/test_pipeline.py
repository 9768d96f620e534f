"""What a pipeline says of strangers who are remembered, and what it keeps to itself of those who are ignored."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from edge_runtime.config import StrangersConfig
from edge_runtime.faces.chain import FaceChain
from edge_runtime.pictures.reader import decode_image
from edge_runtime.pipeline import Pipeline
from edge_runtime.types import Event, Pixels
from edge_runtime.unknowns.book import UnknownsBook
from edge_runtime.unknowns.file import Kind
from edge_runtime.unknowns.linkage import Linkage
from tests.edge_runtime.test_pipeline import CONFIG, chain, kinds, matcher_for, play, scene  # noqa: F401
from tests.edge_runtime.unknowns.made import KEY

STAY, GAP = 20, 40


@pytest.fixture
def book(tmp_path: Path, chain: FaceChain) -> Iterator[UnknownsBook]:  # noqa: F811
    kind = Kind(chain.encoder_hash, chain.preprocessing_hash, 32)
    # Drawn faces are more alike than the bundle's random strangers.
    linkage = Linkage(np.array([np.inf, 0.8], np.float32))
    with UnknownsBook(tmp_path / "strangers.db", KEY, StrangersConfig(visit_s=1.0), kind, linkage) as opened:
        yield opened


def come(pipeline: Pipeline, person: int, times: int = 1, start: int = 0) -> list[Event]:
    """Somebody is in view for two seconds and away for four, as often as said."""
    return play(pipeline, *(walk(person) + [scene()] * GAP) * times, start=start)


def walk(person: int) -> list[Pixels]:
    """Somebody in view."""
    return [scene((person, 40 + 8 * step, 40, 120)) for step in range(STAY)]


def test_a_stranger_who_comes_back_is_the_same_one(chain: FaceChain, book: UnknownsBook) -> None:  # noqa: F811
    pipeline = Pipeline(chain, matcher_for(chain, {"Ada": 0}), CONFIG, "front", book)
    events = come(pipeline, 2, times=3)
    assert kinds(events) == ["appeared", "unknown", "left"] * 3
    (stranger,) = book.strangers()
    assert [event.stranger for event in events] == [None, stranger.stranger_id, stranger.stranger_id] * 3
    assert [event.visits for event in events if event.kind != "appeared"] == [1, 1, 2, 2, 3, 3]
    assert (stranger.visits, stranger.cameras) == (3, ("front",))
    crops = book.crops(stranger.stranger_id)
    assert len(crops) == 3
    assert all(60 < max(decode_image(crop, "crop", 1.0).shape) <= 160 for crop in crops.values())
    other = come(pipeline, 6, start=200)[-1]
    assert other.stranger != stranger.stranger_id and len(book.strangers()) == 2


def test_who_has_a_name_is_no_stranger(chain: FaceChain, book: UnknownsBook) -> None:  # noqa: F811
    pipeline = Pipeline(chain, matcher_for(chain, {"Ada": 0}), CONFIG, "front", book)
    assert kinds(come(pipeline, 0)) == ["appeared", "identified", "left"]
    assert kinds(play(pipeline, *walk(2), start=100)) == ["appeared", "unknown"]
    pipeline.matcher = matcher_for(chain, {"Ada": 0, "Cleo": 2})
    events = play(pipeline, *walk(2)[::-1], *[scene()] * GAP, start=100 + STAY)
    assert kinds(events) == ["identified", "left"] and events[-1].stranger is None
    assert book.strangers() == []


def test_who_may_be_one_of_two_known_people_is_no_stranger(chain: FaceChain, book: UnknownsBook) -> None:  # noqa: F811
    twins = matcher_for(chain, {"Ada": 2, "Bea": 2})
    events = come(Pipeline(chain, twins, CONFIG, "front", book), 2)
    assert kinds(events) == ["appeared", "unknown", "left"]
    assert [event.stranger for event in events] == [None] * 3 and book.strangers() == []


def test_of_an_ignored_stranger_nothing_is_told(chain: FaceChain, book: UnknownsBook) -> None:  # noqa: F811
    pipeline = Pipeline(chain, matcher_for(chain, {"Ada": 0}), CONFIG, "front", book)
    come(pipeline, 2)
    book.ignore(book.strangers()[0].stranger_id, True)
    events = come(pipeline, 2, start=100)
    assert [(event.kind, event.ignored) for event in events] == [("appeared", True), ("unknown", True), ("left", True)]
    assert book.strangers()[0].visits == 2
    book.ignore(book.strangers()[0].stranger_id, False)
    assert not any(event.ignored for event in come(pipeline, 2, start=200))


def test_of_everybody_else_all_is_told_while_somebody_is_ignored(chain: FaceChain, book: UnknownsBook) -> None:  # noqa: F811
    pipeline = Pipeline(chain, matcher_for(chain, {"Ada": 0}), CONFIG, "front", book)
    come(pipeline, 2)
    book.ignore(book.strangers()[0].stranger_id, True)
    stranger, known = come(pipeline, 6, start=100), come(pipeline, 0, start=200)
    assert kinds(stranger) == ["appeared", "unknown", "left"] and kinds(known) == ["appeared", "identified", "left"]
    assert not any(event.ignored for event in stranger + known)
    # They appeared when they did, though it was told when they were decided.
    assert stranger[0].captured_s < stranger[1].captured_s
    config = dataclasses.replace(CONFIG, quality=dataclasses.replace(CONFIG.quality, min_face_px=150))
    small = come(Pipeline(chain, matcher_for(chain, {"Ada": 0}), config, "front", book), 2)
    assert [(event.kind, event.ignored) for event in small] == [
        ("appeared", False),
        ("rejected", False),
        ("left", False),
    ]


def test_who_is_ignored_while_in_view_is_told_to_leave(chain: FaceChain, book: UnknownsBook) -> None:  # noqa: F811
    pipeline = Pipeline(chain, matcher_for(chain, {"Ada": 0}), CONFIG, "front", book)
    come(pipeline, 2)
    assert kinds(play(pipeline, *walk(2), start=100)) == ["appeared", "unknown"]
    book.ignore(book.strangers()[0].stranger_id, True)
    (left,) = pipeline.finish(20.0, 1_700_000_020.0)
    assert (left.kind, left.ignored) == ("left", False)


def test_who_cannot_be_told_from_an_ignored_stranger_is_announced_after_a_while(
    chain: FaceChain,  # noqa: F811
    book: UnknownsBook,
) -> None:
    come(Pipeline(chain, matcher_for(chain, {"Ada": 0}), CONFIG, "front", book), 2)
    book.ignore(book.strangers()[0].stranger_id, True)
    undecided = dataclasses.replace(CONFIG, decide=dataclasses.replace(CONFIG.decide, views=100))
    pipeline = Pipeline(chain, matcher_for(chain, {"Ada": 0}), undecided, "front", book)
    assert play(pipeline, *walk(6)) == []
    (appeared,) = play(pipeline, *walk(6)[::-1], start=STAY)
    assert (appeared.kind, appeared.ignored) == ("appeared", False)
    assert appeared.captured_s < 1.0
    assert kinds(pipeline.finish(5.0, 5.0)) == ["left"]
