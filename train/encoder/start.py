"""Where a run may start from: the models of another run, or a float encoder that was released with a bundle.

A run may also begin smaller and end deeper: a residual block that the start has not begins as one that changes hardly
anything (its last norm's scale near zero; Goyal et al., "Accurate, large minibatch SGD", 2017). A code of another
length is learned anew (``train.encoder.probe``).

The start may have had pictures of another size: convolutions do not mind, and the one layer that does, the depthwise
kernel over what is left of the picture, is stretched. So a run may begin on small pictures, where a step is cheap,
and end on larger ones (progressive resizing; Touvron et al., "Fixing the train-test resolution discrepancy", 2019).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
from numpy.typing import NDArray

from edge_runtime.bundle.folder import file_digest
from edge_runtime.bundle.preprocessing import Preprocessing
from edge_runtime.errors import InputError
from train.runs.models import open_model
from train.runs.run import load_run

_OF_BLOCK = re.compile(r"stage\d+_block\d+[ab]_(conv|norm)")
_OF_CODE = ("code", "code_norm")
_ASLEEP = 0.1
"""Scale of a new block's last norm, where those of trained ones are near 1."""


@dataclass(frozen=True)
class Start:
    """Models to go on from.

    Attributes:
        path: the run's folder.
        encoder_path: its encoder's file.
        sha256: of that file.
        encoder: float weights of the encoder by layer, in Keras's order.
        decoder: those of the decoder; None where it was not kept.
        preprocessing: of the encoder's input.
        lineage: where the weights came from, one sentence each.
    """

    path: Path
    encoder_path: Path
    sha256: str
    encoder: dict[str, list[NDArray[np.float32]]]
    decoder: list[NDArray[np.float32]] | None
    preprocessing: Preprocessing
    lineage: list[str]

    def fits(self, preprocessing: Preprocessing) -> bool:
        """Whether a run of ``preprocessing`` may start here: the same colours, numbers and part of the face."""
        mine, theirs = self.preprocessing, preprocessing
        same = (mine.colour, mine.mean, mine.std) == (theirs.colour, theirs.mean, theirs.std)
        here, there = (np.divide(one.template.points, one.template.size_wh) for one in (mine, theirs))
        return same and np.allclose(here, there, rtol=0, atol=1e-4)

    def into(self, encoder: keras.Model, decoder: keras.Model | None = None, grown: bool = False) -> bool:
        """Give new models the weights; a decoder of another shape starts from nothing.

        Args:
            encoder: of the same shape, but for the size of its pictures.
            decoder: None: there is no decoder.
            grown: whether the encoder may also have blocks that the start has not, and a code of another length.

        Returns:
            whether the code is of another length, and so has to be learned anew.

        Raises:
            InputError: an encoder of another shape.
        """
        anew = False
        layers = {layer.name: layer for layer in encoder.layers if layer.weights}
        if unknown := sorted(set(self.encoder) - set(layers)):
            raise self._unlike(f"a layer {unknown[0]} more")
        for name, layer in layers.items():
            if name in self.encoder:
                weights = [_stretched(*pair) for pair in zip(self.encoder[name], layer.get_weights(), strict=True)]
                if all(theirs.shape == tuple(own.shape) for theirs, own in zip(weights, layer.weights, strict=True)):
                    layer.set_weights(weights)
                elif not grown or name not in _OF_CODE:
                    raise self._unlike(f"{name} of another")
                else:
                    anew = True
            elif not grown or not _OF_BLOCK.fullmatch(name):
                raise self._unlike(f"no layer {name}")
            else:
                self._begin_block(layer, encoder)
        own = [tuple(w.shape) for w in decoder.weights] if decoder is not None else []
        if decoder is not None and self.decoder and [w.shape for w in self.decoder] == own:
            decoder.set_weights(self.decoder)
        return anew

    def _begin_block(self, layer: keras.Layer, encoder: keras.Model) -> None:
        """Let a layer of a block that the start has not change little, and learn no faster than the others.

        Muon's steps are of one length whatever the gradient: kernels as small as they are drawn would be turned ten
        times as fast as trained ones, and a scale of zero would not learn from what turns under it. The norm behind a
        kernel takes its size out again.
        """
        if layer.name.endswith("_conv"):
            trained = np.median([np.std(own[0]) for name, own in self.encoder.items() if name.endswith("_conv")])
            layer.kernel.assign(layer.kernel * (trained / np.std(np.asarray(layer.kernel))))
            return
        kernel = np.asarray(encoder.get_layer(layer.name.replace("_norm", "_conv")).kernel)
        last = layer.name.endswith("b_norm")
        # A guess until the norm has seen pictures: what comes in has a mean square near 2, and near 1/2 behind a norm.
        variance = kernel[..., 0].size * np.var(kernel) * (0.5 if last else 2.0)
        layer.moving_variance.assign(np.full(layer.gamma.shape, variance, np.float32))
        if last:
            layer.gamma.assign(np.full(layer.gamma.shape, _ASLEEP, np.float32))

    def _unlike(self, found: str) -> InputError:
        return InputError(
            f"{self.encoder_path}: expected the encoder of this recipe, found one of another shape ({found}); "
            "start from a run of the same [encoder], or of one with fewer blocks"
        )


def load_start(folder: str | Path) -> Start:
    """Open the models that a run left.

    Raises:
        InputError: no run there, or a model that cannot be opened.
    """
    run = load_run(folder)
    encoder = open_model(run.encoder_path)
    weights = {part.name: [np.asarray(w, np.float32) for w in part.weights] for part in encoder.layers if part.weights}
    decoder = open_model(run.decoder_path).get_weights() if run.decoder_path.is_file() else None
    digest = file_digest(run.encoder_path)[0] if run.encoder_path.is_file() else ""
    lineage = [f"started from the encoder of a run of {run.recipe_name}, sha256 {digest}", *run.lineage]
    return Start(run.path, run.encoder_path, digest, weights, decoder, run.preprocessing, lineage)


def _stretched(weight: NDArray[np.float32], wanted: NDArray[np.float32]) -> NDArray[np.float32]:
    """A depthwise kernel (h, w, C, 1) at the height and width of ``wanted``, its sum kept; all else as it is."""
    shape = wanted.shape
    of_pool = weight.ndim == 4 and weight.shape[3] == 1 and weight.shape[2:] == shape[2:] and weight.shape != shape
    if not of_pool:
        return weight
    stretched = np.asarray(keras.ops.image.resize(weight[..., 0], shape[:2], data_format="channels_last"))
    share = weight.shape[0] * weight.shape[1] / (shape[0] * shape[1])
    return np.asarray(stretched * share, np.float32)[..., None]
