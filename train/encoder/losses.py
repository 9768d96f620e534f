"""What a recipe can ask of a code and of the picture drawn from it; in ``keras.ops``, any backend."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from keras import ops

from train.encoder.recipe import LossPart


def mean_squared_error(target: Any, picture: Any) -> Any:
    """Mean over all values of the squared difference; both (N, h, w, C) in 0..1."""
    return ops.mean(ops.square(target - picture))


def cross_entropy(target: Any, picture: Any) -> Any:
    """Mean binary cross-entropy of the picture's values, read as probabilities, in nats; both in 0..1."""
    inside = ops.clip(picture, 1e-6, 1 - 1e-6)
    return -ops.mean(target * ops.log(inside) + (1 - target) * ops.log(1 - inside))


def dissimilarity(target: Any, picture: Any) -> Any:
    """1 - SSIM in the mean; both (N, h, w, C) in 0..1, at least 11 px a side.

    Wang et al., "Image quality assessment: From error visibility to structural similarity", 2004, as
    ``train.evaluation.reconstruction.ssim`` measures it: Gaussian window of 11, sigma 1.5, only where it lies inside.
    """
    channels = target.shape[-1]
    x = ops.arange(-5.0, 6.0)
    bell = ops.exp(-ops.square(x) / (2 * 1.5**2))
    bell = bell / ops.sum(bell)

    def blurred(values: Any) -> Any:
        for shape in ((11, 1, 1, 1), (1, 11, 1, 1)):
            kernel = ops.tile(ops.reshape(bell, shape), (1, 1, channels, 1))
            values = ops.depthwise_conv(values, kernel, padding="valid")
        return values

    a, b = ops.cast(target, "float32"), ops.cast(picture, "float32")
    ma, mb = blurred(a), blurred(b)
    aa, bb, ab = blurred(a * a) - ma * ma, blurred(b * b) - mb * mb, blurred(a * b) - ma * mb
    index = ((2 * ma * mb + 1e-4) * (2 * ab + 9e-4)) / ((ma * ma + mb * mb + 1e-4) * (aa + bb + 9e-4))
    return 1.0 - ops.mean(index)


def divergence(code: Any, log_variance: Any) -> Any:
    """Kullback-Leibler divergence of N(code, variance) from N(0, 1), a number of the code, in nats; both (N, D)."""
    return 0.5 * ops.mean(ops.square(code) + ops.exp(log_variance) - log_variance - 1.0)


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

    def __init__(self, part: LossPart, identity: bool, teachers: Sequence[float] = (1.0,)) -> None:
        """Choose the terms.

        Args:
            part: the recipe's weights.
            identity: whether there is a head of people to measure against.
            teachers: what each teacher's word weighs.
        """
        self._teachers = teachers
        self._part = part
        self._identity = identity and part.identity > 0
        self.terms = [
            name
            for name, weight in (
                ("reconstruction", part.reconstruction),
                ("structure", part.structure),
                ("variational", part.variational),
                ("identity", part.identity if identity else 0.0),
                ("distil", part.distil),
                ("relations", part.distil_relations),
            )
            if weight > 0
        ]

    def __call__(self, targets: Mapping[str, Any], outputs: Mapping[str, Any]) -> dict[str, Any]:
        """Terms by name from targets ``clean``, ``person``, ``teacher0`` and so on, and the autoencoder's outputs.

        A term whose target is absent (nobody in the held-out people is in the head) is left out.
        """
        part, values = self._part, {}
        if part.reconstruction > 0:
            measure = cross_entropy if part.reconstruction_kind == "cross_entropy" else mean_squared_error
            values["reconstruction"] = part.reconstruction * measure(targets["clean"], outputs["picture"])
        if part.structure > 0:
            values["structure"] = part.structure * dissimilarity(targets["clean"], outputs["picture"])
        if part.variational > 0:
            values["variational"] = part.variational * divergence(outputs["code"], outputs["log_variance"])
        if self._identity and "person" in targets:
            values["identity"] = part.identity * margin_softmax(
                outputs["cosine"], targets["person"], part.identity_margin, part.identity_scale
            )
        if part.distil > 0:
            values["distil"] = part.distil * sum(
                weight * distillation(outputs[f"taught{k}"], targets[f"teacher{k}"])
                for k, weight in enumerate(self._teachers)
            )
        if part.distil_relations > 0:
            values["relations"] = part.distil_relations * sum(
                weight * relations(outputs["direction"], targets[f"teacher{k}"])
                for k, weight in enumerate(self._teachers)
            )
        return values
