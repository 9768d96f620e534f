"""The strangers a daemon remembers make its thresholds stricter, and never milder."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from edge_runtime.bundle.looks import GRID, Looks
from edge_runtime.config import Config, StrangersConfig
from edge_runtime.daemon.gallery_monitor import GalleryMonitor
from edge_runtime.daemon.health import Health
from edge_runtime.daemon.summary import gallery_status
from edge_runtime.faces.chain import FaceChain, open_chain
from edge_runtime.gallery.opening import open_gallery
from edge_runtime.types import Floats
from edge_runtime.unknowns.book import UnknownsBook
from edge_runtime.unknowns.file import Kind
from edge_runtime.unknowns.linkage import Linkage
from edge_runtime.unknowns.memory import Sighting
from tests.builders import make_bundle
from tests.running_service import make_config

SIZE = 32
LOOKS = Looks(
    np.zeros((1, SIZE), np.float32),
    np.zeros(1, np.float32),
    np.exp(-GRID / 0.05)[None, None],
    np.zeros((1, 1)),
    5000,
    (0.5, 1.0),
    (0.9, 0.05),
)
"""Of strangers who hardly ever come near anybody, as those at the door do not do."""


def near(ada: Floats, count: int, cosine: float) -> Floats:
    """Strangers who all come as near to somebody, each in a direction of their own."""
    away = np.random.default_rng(4).normal(size=(count, SIZE))
    away -= np.outer(away @ ada, ada)
    away /= np.linalg.norm(away, axis=1, keepdims=True)
    return np.asarray(cosine * ada + np.sqrt(1 - cosine**2) * away, np.float32)


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Config:
    bundle = make_bundle(tmp_path / "bundle").path
    # The file is read once, when it is first asked for: what is in it is known here.
    monkeypatch.setattr("edge_runtime.bundle.folder.Bundle.looks", LOOKS)
    made = make_config(tmp_path, bundle, door="synthetic:size=160x120")
    return dataclasses.replace(made, strangers=StrangersConfig(remember=True))


def open_book(config: Config, chain: FaceChain) -> UnknownsBook:
    """A book in which everybody is somebody else, since these strangers are made alike."""
    kind = Kind(chain.encoder_hash, chain.preprocessing_hash, chain.encoder.embedding_size)
    apart = Linkage(np.full(201, 2.0, np.float32))
    return UnknownsBook(Path(config.gallery.path).with_name("strangers.db"), bytes(32), config.strangers, kind, apart)


@pytest.mark.parametrize(("cosine", "rises"), [(0.6, True), (-0.5, False)])
def test_strangers_remembered_raise_the_threshold_or_leave_it(config: Config, cosine: float, rises: bool) -> None:
    with open_chain(config) as chain:
        ada = chain.bundle.golden()[1][0]
        with open_gallery(config, chain) as gallery:
            gallery.add("Ada", ada, 1.0, "a.png")
        with GalleryMonitor(config, chain, Health()) as monitor, open_book(config, chain) as book:
            before = gallery_status(monitor.matcher)
            monitor.strangers = book
            for number, embedding in enumerate(near(ada, 80, cosine)):
                book.remember(Sighting(embedding, 1.0, 1000.0 * number, 1000.0 * number + 5, "door"))
            assert len(book.strangers()) >= 60 and monitor.refresh() is not None
            after = gallery_status(monitor.matcher)
            assert monitor.refresh() is None
    assert (after["raised_by_door"] > 0) == rises
    assert after["threshold"] == pytest.approx(before["threshold"] + after["raised_by_door"], abs=1e-3)


def test_who_stands_before_the_door_takes_no_rise_back(config: Config) -> None:
    with open_chain(config) as chain:
        ada = chain.bundle.golden()[1][0]
        with open_gallery(config, chain) as gallery:
            gallery.add("Ada", ada, 1.0, "a.png")
        with GalleryMonitor(config, chain, Health()) as monitor, open_book(config, chain) as book:
            monitor.strangers = book
            visitors = np.concatenate([near(ada, 80, 0.6), near(ada, 400, -0.5)])
            raised = []
            for number, embedding in enumerate(visitors):
                book.remember(Sighting(embedding, 1.0, 1000.0 * number, 1000.0 * number + 5, "door"))
                if monitor.refresh() is not None:
                    raised.append(monitor.matcher.calibration.raised)
            assert len(raised) > 3 and raised[-1] > 0 and raised == sorted(raised)
            with open_gallery(config, chain) as gallery:
                gallery.add("Bob", near(ada, 1, 0.0)[0], 1.0, "b.png")
            assert monitor.refresh() is not None
            assert monitor.matcher.calibration.raised < raised[-1], "another gallery begins anew"
