"""Where a run may start from: the models of another run, or a float encoder that was released with a bundle.

The start may have had pictures of another size: convolutions do not mind, and the one layer that does, the depthwise
kernel over what is left of the picture, is stretched. So a run may begin on small pictures, where a step is cheap,
and end on larger ones (progressive resizing; Touvron et al., "Fixing the train-test resolution discrepancy", 2019).
"""

from __future__ import annotations

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


@dataclass(frozen=True)
class Start:
    """Models to go on from.

    Attributes:
        path: the run's folder.
        encoder_path: its encoder's file.
        sha256: of that file.
        encoder: float weights of the encoder, in Keras's order.
        decoder: those of the decoder; None where it was not kept.
        preprocessing: of the encoder's input.
        lineage: where the weights came from, one sentence each.
    """

    path: Path
    encoder_path: Path
    sha256: str
    encoder: list[NDArray[np.float32]]
    decoder: list[NDArray[np.float32]] | None
    preprocessing: Preprocessing
    lineage: list[str]

    def fits(self, preprocessing: Preprocessing) -> bool:
        """Whether a run of ``preprocessing`` may start here: the same colours, numbers and part of the face."""
        mine, theirs = self.preprocessing, preprocessing
        same = (mine.colour, mine.mean, mine.std) == (theirs.colour, theirs.mean, theirs.std)
        points = [np.divide(one.template.points, one.template.size_wh) for one in (mine, theirs)]
        return same and np.allclose(*points, rtol=0, atol=1e-4)

    def into(self, encoder: keras.Model, decoder: keras.Model) -> None:
        """Give new models the weights; a decoder of another shape starts from nothing.

        Raises:
            InputError: an encoder of another shape, but for the size of its pictures.
        """
        wanted = [tuple(w.shape) for w in encoder.weights]
        fitting = len(wanted) == len(self.encoder)
        weights = [_stretched(*pair) for pair in zip(self.encoder, wanted, strict=True)] if fitting else []
        if not fitting or [w.shape for w in weights] != wanted:
            raise InputError(
                f"{self.encoder_path}: expected the encoder of this recipe, found one of another shape; "
                "start from a run of the same [encoder]"
            )
        encoder.set_weights(weights)
        if self.decoder and [w.shape for w in self.decoder] == [tuple(w.shape) for w in decoder.weights]:
            decoder.set_weights(self.decoder)


def load_start(folder: str | Path) -> Start:
    """Open the models that a run left.

    Raises:
        InputError: no run there, or a model that cannot be opened.
    """
    run = load_run(folder)
    decoder = _weights(run.decoder_path) if run.decoder_path.is_file() else None
    digest = file_digest(run.encoder_path)[0] if run.encoder_path.is_file() else ""
    lineage = [f"started from the encoder of a run of {run.recipe_name}, sha256 {digest}", *run.lineage]
    return Start(run.path, run.encoder_path, digest, _weights(run.encoder_path), decoder, run.preprocessing, lineage)


def _stretched(weight: NDArray[np.float32], shape: tuple[int, ...]) -> NDArray[np.float32]:
    """A depthwise kernel (h, w, C, 1) brought to another height and width, its sum kept; all else as it is."""
    of_pool = weight.ndim == 4 and weight.shape[3] == 1 and weight.shape[2:] == shape[2:] and weight.shape != shape
    if not of_pool:
        return weight
    stretched = np.asarray(keras.ops.image.resize(weight[..., 0], shape[:2], data_format="channels_last"))
    share = weight.shape[0] * weight.shape[1] / (shape[0] * shape[1])
    return (stretched * share).astype(np.float32)[..., None]


def _weights(path: Path) -> list[NDArray[np.float32]]:
    return [np.asarray(weight, np.float32) for weight in open_model(path).get_weights()]
