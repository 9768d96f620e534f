"""What a recipe can ask of a code and of the picture drawn from it; in ``keras.ops``, any backend."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from keras import ops

from train.recipe import LossPart


def mean_squared_error(target: Any, picture: Any) -> Any:
    """Mean over all values of the squared difference; both (N, h, w, C) in 0..1."""
    return ops.mean(ops.square(target - picture))


def cross_entropy(target: Any, picture: Any) -> Any:
    """Mean binary cross-entropy of the picture's values, read as probabilities, in nats; both in 0..1."""
    inside = ops.clip(picture, 1e-6, 1 - 1e-6)
    return -ops.mean(target * ops.log(inside) + (1 - target) * ops.log(1 - inside))


def margin_softmax(cosine: Any, person: Any, margin: float, scale: float) -> Any:
    """Large-margin cosine loss (Wang et al., "CosFace", 2018): softmax over scaled cosines, less a margin on one's own.

    Args:
        cosine: (N, people) between codes and the people's directions.
        person: (N,) int, index of the person; -1 where nobody knows, which counts for nothing.
        margin: taken off the own person's cosine.
        scale: of the cosines before the softmax.
    """
    known = ops.cast(person >= 0, "float32")
    own = ops.one_hot(ops.maximum(person, 0), cosine.shape[-1], dtype="float32")
    logits = scale * (cosine - margin * own)
    each = ops.logsumexp(logits, axis=-1) - ops.sum(own * logits, axis=-1)
    return ops.sum(known * each) / ops.maximum(ops.sum(known), 1.0)


def distillation(direction: Any, teacher: Any) -> Any:
    """1 - cosine to the teacher's code of the same view, in the mean; both (N, D) of unit length."""
    return 1.0 - ops.mean(ops.sum(direction * teacher, axis=-1))


def relations(direction: Any, teacher: Any) -> Any:
    """Mean squared difference of the batch's cosines among itself, student's and teacher's.

    As in similarity-preserving distillation (Tung and Mori, 2019), on unit codes; the two may differ in length.
    """
    ours = ops.matmul(direction, ops.transpose(direction))
    theirs = ops.matmul(teacher, ops.transpose(teacher))
    return ops.mean(ops.square(ours - theirs))


class WeightedLoss:
    """The terms of a recipe, each times its weight; a term of weight 0 is not computed.

    Attributes:
        terms: names of the terms that count.
    """

    def __init__(self, part: LossPart, identity: bool) -> None:
        """Choose the terms.

        Args:
            part: the recipe's weights.
            identity: whether there is a head of people to measure against.
        """
        self._part = part
        self._identity = identity and part.identity > 0
        self.terms = [
            name
            for name, weight in (
                ("reconstruction", part.reconstruction),
                ("identity", part.identity if identity else 0.0),
                ("distil", part.distil),
                ("relations", part.distil_relations),
            )
            if weight > 0
        ]

    def __call__(self, targets: Mapping[str, Any], outputs: Mapping[str, Any]) -> dict[str, Any]:
        """Terms by name from targets ``clean``, ``person``, ``teacher`` and the autoencoder's outputs.

        A term whose target is absent (nobody in the held-out people is in the head) is left out.
        """
        part, values = self._part, {}
        if part.reconstruction > 0:
            measure = cross_entropy if part.reconstruction_kind == "cross_entropy" else mean_squared_error
            values["reconstruction"] = part.reconstruction * measure(targets["clean"], outputs["picture"])
        if self._identity and "person" in targets:
            values["identity"] = part.identity * margin_softmax(
                outputs["cosine"], targets["person"], part.identity_margin, part.identity_scale
            )
        if part.distil > 0:
            values["distil"] = part.distil * distillation(outputs["direction"], targets["teacher"])
        if part.distil_relations > 0:
            values["relations"] = part.distil_relations * relations(outputs["direction"], targets["teacher"])
        return values
