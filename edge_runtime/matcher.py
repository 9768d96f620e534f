"""Whose face is this code, if anybody's: exact search over everybody enrolled, by one matrix product.

A person is compared by one averaged template, which tells people apart better than the best of several does.
"""

from __future__ import annotations

import math

import numpy as np

from edge_runtime.bundle import Bundle
from edge_runtime.calibrate import Calibration, calibrate
from edge_runtime.config import DecideConfig
from edge_runtime.errors import InputError
from edge_runtime.lookalikes import Lookalikes, find_lookalikes
from edge_runtime.templates import Templates
from edge_runtime.types import Floats, Match


class Matcher:
    """Decides for one state of a gallery; immutable, so it may be shared between threads.

    A name needs a score of at least the calibration's threshold **and** the wanted lead over the second best, which is
    larger over people who look alike.
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
            margin: the wanted lead, a score, >= 0.
            lookalikes: who needs a larger lead over whom; None: nobody.
        """
        self.lookalikes = lookalikes or Lookalikes()
        self.templates = templates
        self.calibration = calibration
        self.margin = margin
        self._people = len(templates.names)
        # Averaged templates first, then the single ones, so that one product serves both.
        self._rows = np.concatenate([templates.person_codes(), templates.codes])

    def match(self, codes: Floats) -> list[Match]:
        """One answer a code.

        Args:
            codes: float32 (N, D) of unit length; a zero code is nobody's.

        Raises:
            InputError: codes of another shape.
        """
        codes = np.asarray(codes, np.float32)
        if codes.ndim != 2 or codes.shape[1] != self._rows.shape[1]:
            raise InputError(f"codes: expected (N, {self._rows.shape[1]}), received {codes.shape}")
        products = codes @ self._rows.T
        seen = (codes != 0).any(axis=1)
        confidences = (
            self.calibration.confidence(products[:, : self._people].max(1)) if self._people else np.zeros(len(codes))
        )
        return [
            self._decide(row, float(confidence)) if good else self._nobody()
            for row, confidence, good in zip(products, confidences, seen, strict=True)
        ]

    def _decide(self, row: Floats, confidence: float) -> Match:
        scores, similarities = row[: self._people], row[self._people :]
        if not len(similarities):
            return self._nobody()
        best = int(np.argmax(scores))
        score = float(scores[best])
        second = int(np.argmax(np.where(np.arange(self._people) == best, -np.inf, scores)))
        margin = score - float(scores[second]) if self._people > 1 else math.inf
        own = np.flatnonzero(self.templates.person_index == best)
        nearest = own[np.argmax(similarities[own])]
        name = self.templates.names[best]
        leads = margin >= self.margin and self.lookalikes.leads(best, scores)
        return Match(
            person=name if score >= self.calibration.threshold and leads else None,
            similarity=float(similarities[nearest]),
            score=score,
            confidence=confidence,
            margin=margin,
            runner_up=self.templates.names[second] if self._people > 1 else None,
            threshold=self.calibration.threshold,
            candidate=name,
            template_id=int(self.templates.ids[nearest]),
        )

    def _nobody(self) -> Match:
        return Match(None, 0.0, 0.0, 0.0, 0.0, None, self.calibration.threshold)


def make_matcher(
    templates: Templates, bundle: Bundle, decide: DecideConfig, strangers: Floats | None = None
) -> Matcher:
    """A matcher with the threshold that the owner's wish asks for.

    Args:
        templates: of the bundle's codes.
        bundle: whose strangers set the threshold.
        decide: the wish and the margin.
        strangers: float32 (S, D), the bundle's, where they have been read already.
    """
    codes = bundle.strangers() if strangers is None else strangers
    calibration = calibrate(
        templates,
        codes,
        bundle.manifest.strangers,
        decide.false_accepts_per_1000_strangers,
        decide.margin,
        bundle.manifest.realism,
    )
    return Matcher(templates, calibration, decide.margin, find_lookalikes(templates, codes, decide.margin))
