"""A code of another length, fitted to the teacher's before anything else learns.

Kumar et al., "Fine-tuning can distort pretrained features and underperform out-of-distribution", 2022: a network whose
last layer is drawn anew loses what it knew while that layer learns, so the last layer is solved for first.
"""

from __future__ import annotations

import keras
import numpy as np

from edge_runtime.bundle.preprocessing import Preprocessing
from train.encoder.datasets import Faces, in_chunks, teach
from train.encoder.teacher import Teachers

_FACES = 4096
_RIDGE = 0.1
"""Of the features' mean square."""


def solve_code(encoder: keras.Model, faces: Faces, preprocessing: Preprocessing, teachers: Teachers, seed: int) -> None:
    """Set the last layer, and its norm, to the ridge regression from what comes before it to the first teacher's codes.

    Args:
        encoder: with the layers ``flatten``, ``code`` and ``code_norm``, its code as long as theirs.
        faces: to fit on; some thousands of them are taken.
        preprocessing: of the encoder.
        teachers: the first one's codes count, or all of them joined.
        seed: of the choice.
    """
    chosen = np.sort(np.random.default_rng(seed).permutation(len(faces))[:_FACES])
    before = keras.Model(encoder.input, encoder.get_layer("flatten").output)
    features = np.concatenate(
        [
            np.asarray(before.predict_on_batch(preprocessing.as_float(faces.aligned(chunk, preprocessing.template))))
            for chunk in in_chunks(chosen, 128)
        ]
    ).astype(np.float64)
    codes = teach(teachers, faces.take(chosen)).astype(np.float64)[:, : teachers.sizes[0]]
    x, y = features - features.mean(0), codes - codes.mean(0)
    scale = _RIDGE * np.square(x).sum(0).mean() * np.eye(x.shape[1])
    kernel = np.linalg.solve(x.T @ x + scale, x.T @ y)
    given = features @ kernel
    encoder.get_layer("code").set_weights([kernel.astype(np.float32)])
    # Without a scale of its own the norm evens the numbers out; only the mean is to be brought in line.
    centre = codes.mean(0) / given.std(0)
    norm = encoder.get_layer("code_norm")
    norm.set_weights([w.astype(np.float32) for w in (centre, given.mean(0), given.var(0))])
