"""Whose face is this code, if anybody's: exact search over everybody enrolled, by one matrix product.

A person is compared by one averaged template, which tells people apart better than the best of several does.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from edge_runtime.bundle.folder import Bundle
from edge_runtime.config import DecideConfig
from edge_runtime.decision.calibration import Calibration, calibrate
from edge_runtime.decision.lookalikes import Lookalikes, find_lookalikes
from edge_runtime.decision.negatives import Negatives
from edge_runtime.decision.refusal import why_unfit
from edge_runtime.decision.row_search import RowSearch
from edge_runtime.errors import InputError
from edge_runtime.gallery.templates import Templates
from edge_runtime.types import Floats, Match

_MANY_PEOPLE = 50_000
"""From here on int8 rows are faster than float32 ones as well as smaller; see docs/gallery.md."""


class Matcher:
    """Decides for one state of a gallery; immutable, so it may be shared between threads.

    A name needs a score of at least that person's threshold **and** the wanted margin over the second best, which is
    larger over people who look alike. Nobody is named where the calibration refuses to.
    """

    def __init__(
        self,
        templates: Templates,
        calibration: Calibration,
        margin: float,
        lookalikes: Lookalikes | None = None,
    ) -> None:
        """Prepare for one state of a gallery.

        Args:
            templates: the gallery's.
            calibration: the threshold derived from them.
            margin: how far the best must be ahead of the second, a score, >= 0.
            lookalikes: who needs a larger margin over whom; None: nobody.
        """
        self.lookalikes = lookalikes or Lookalikes()
        self.templates = templates
        self.calibration = calibration
        self.margin = margin
        self.negatives = Negatives(templates, margin)
        self._people = len(templates.names)
        averages = templates.person_embeddings()
        self._averages: Floats | RowSearch = averages if self._people < _MANY_PEOPLE else RowSearch(averages)
        order = np.argsort(templates.person_index, kind="stable")
        self._own = np.split(order, np.searchsorted(templates.person_index[order], np.arange(1, self._people)))

    def match(self, embeddings: Floats) -> list[Match]:
        """One answer an embedding.

        Args:
            embeddings: float32 (N, D) of unit length; a zero embedding is nobody's.

        Raises:
            InputError: embeddings of another shape.
        """
        embeddings = np.asarray(embeddings, np.float32)
        size = self.templates.embeddings.shape[1]
        if embeddings.ndim != 2 or embeddings.shape[1] != size:
            raise InputError(f"codes: expected (N, {size}), received {embeddings.shape}")
        if not self._people:
            return [self._nobody() for _ in embeddings]
        averages = self._averages
        scores = (
            embeddings @ averages.T
            if isinstance(averages, np.ndarray)
            else [averages.scores(embedding) for embedding in embeddings]
        )
        return [
            self._decide(embedding, row) if embedding.any() else self._nobody()
            for embedding, row in zip(embeddings, scores, strict=True)
        ]

    def _decide(self, embedding: Floats, scores: Floats) -> Match:
        best = int(np.argmax(scores))
        score = float(scores[best])
        second = int(np.argmax(np.where(np.arange(self._people) == best, -np.inf, scores)))
        margin = score - float(scores[second]) if self._people > 1 else math.inf
        own = self._own[best]
        similarities = self.templates.embeddings[own] @ embedding
        nearest = int(np.argmax(similarities)) if len(own) else None
        name, threshold = self.templates.names[best], self.calibration.needed(best)
        far_enough = margin >= self.margin and self.lookalikes.far_enough(best, scores)
        corrected = self.negatives.forbid(best, embedding, score)
        named = score >= threshold and far_enough and not corrected and not self.calibration.refused
        return Match(
            person=name if named else None,
            similarity=0.0 if nearest is None else float(similarities[nearest]),
            score=score,
            confidence=self.calibration.confidence(score, best),
            margin=margin,
            runner_up=self.templates.names[second] if self._people > 1 else None,
            threshold=threshold,
            candidate=name,
            template_id=None if nearest is None else int(self.templates.ids[own[nearest]]),
            corrected=corrected,
        )

    def _nobody(self) -> Match:
        return Match(None, 0.0, 0.0, 0.0, 0.0, None, self.calibration.threshold)


def make_matcher(
    templates: Templates,
    bundle: Bundle,
    decide: DecideConfig,
    strangers: Floats | None = None,
    tracks: bool = False,
    door: Floats | None = None,
    raised: float = 0.0,
) -> Matcher:
    """A matcher with the thresholds that the owner's target asks for.

    Args:
        templates: of the bundle's embeddings.
        bundle: whose strangers set the threshold.
        decide: the target and the margin.
        strangers: float32 (S, D), the bundle's, where they have been read already.
        tracks: what is matched is each re-check of a track, of which any may give a name, not one picture.
        door: float32 (V, D), one a stranger who came here and was never named; None: nobody is remembered.
        raised: by how much such strangers raised the thresholds for this gallery before.
    """
    embeddings = bundle.strangers() if strangers is None else strangers
    calibration = calibrate(
        templates,
        embeddings,
        bundle.manifest.strangers,
        decide.false_accepts_per_1000_strangers,
        decide.margin,
        bundle.manifest.realism if tracks else bundle.manifest.realism.picture(),
        bundle.looks if decide.strangers == "alike" else None,
    )
    calibration = replace(calibration, unfit=why_unfit(bundle.manifest.metrics))
    if door is not None:
        calibration = calibration.with_door(templates.person_embeddings(), door, raised)
    return Matcher(templates, calibration, decide.margin, find_lookalikes(templates, embeddings, decide.margin))
