"""Small chips files, Keras encoders and runs to convert; needs TensorFlow only where a model is made."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from edge_runtime.bundle.folder import file_digest
from edge_runtime.bundle.preprocessing import Preprocessing
from edge_runtime.geometry.alignment import Template
from edge_runtime.pictures.chips import CROP_TEMPLATE
from edge_runtime.types import Pixels
from train.data.chips import Crop, write_chips

PREPROCESSING = Preprocessing("grey", (127.5,), (127.5,), Template.arcface(28, 6))
SPLITS = {"train": (6, 8), "select": (14, 4), "cohort": (14, 1)}
"""People and photos of each, for :func:`write_people`."""


def draw_chips(count: int, size_wh: tuple[int, int], seed: int = 0) -> Pixels:
    """Smooth coloured noise with ellipses and lines over it, uint8 (count, h, w, 3) RGB.

    Every chip has colours that a swap of channels would change, and edges that a shift would.
    """
    rng = np.random.default_rng(seed)
    width, height = size_wh
    chips = np.empty((count, height, width, 3), np.uint8)
    for chip in chips:
        noise = cv2.GaussianBlur(rng.normal(size=(height, width, 3)), (0, 0), width / 8)
        picture = 128 + 45 * noise / noise.std() + rng.uniform(-50, 50, 3)
        picture = np.ascontiguousarray(np.clip(picture, 0, 255).astype(np.uint8))
        for _ in range(4):
            centre = tuple(int(v) for v in rng.uniform(0.2, 0.8, 2) * size_wh)
            axes = tuple(int(v) for v in 1 + rng.uniform(0.05, 0.3, 2) * size_wh)
            colour = tuple(int(v) for v in rng.integers(0, 256, 3))
            cv2.ellipse(picture, centre, axes, float(rng.uniform(0, 180)), 0, 360, colour, -1, cv2.LINE_AA)
        for _ in range(2):
            start, end = (tuple(int(v) for v in rng.uniform(0, 1, 2) * size_wh) for _ in range(2))
            colour = tuple(int(v) for v in rng.integers(0, 256, 3))
            cv2.line(picture, start, end, colour, max(width // 24, 1), cv2.LINE_AA)
        chip[:] = cv2.GaussianBlur(picture, (0, 0), 0.6)
    return chips


def write_people(path: Path, splits: dict[str, tuple[int, int]] = SPLITS, names: bool = True) -> Path:
    """A chips file of drawn people: each a picture of their own, each photo of it a little different."""
    rng = np.random.default_rng(0)
    crops, people, split = [], [], []
    pictures = iter(draw_chips(sum(n for n, _ in splits.values()), CROP_TEMPLATE.size_wh, seed=7))
    for name, (count, photos) in splits.items():
        for person in range(count):
            picture = next(pictures)
            for _ in range(photos):
                noise = cv2.GaussianBlur(rng.normal(size=picture.shape), (0, 0), 6)
                photo = np.clip(picture + 12 * noise / noise.std(), 0, 255).astype(np.uint8)
                jpeg = cv2.imencode(".jpg", cv2.cvtColor(photo, cv2.COLOR_RGB2BGR))[1].tobytes()
                landmarks = CROP_TEMPLATE.as_array() + rng.normal(0, 1, (5, 2)).astype(np.float32)
                crops.append(Crop(jpeg, landmarks.astype(np.float32)))
                people.append(f"{name}{person}" if names else "")
                split.append(name)
    paths = [f"{k}.jpg" for k in range(len(crops))]
    write_chips(path, crops, people, split, paths, "haar", "drawings of nobody")
    return path


def save_encoder(path: Path, kind: str = "dense") -> Path:
    """A Keras encoder of 28x28 grey chips with random weights.

    Args:
        path: the file to write.
        kind: ``dense``, ``unit`` (normalises), ``sizeless``, or ``deep`` (every kind of layer that trains).
    """
    import keras
    from keras import layers

    keras.utils.set_random_seed(3)
    sides = (None, None) if kind == "sizeless" else (28, 28)
    chip = keras.Input((*sides, 1))
    if kind == "sizeless":
        x = layers.ReLU()(layers.BatchNormalization()(layers.Conv2D(8, 3, 2)(chip)))
        x = layers.Dense(16)(layers.GlobalAveragePooling2D()(x))
    elif kind == "deep":
        x = layers.ReLU()(_normal(layers.Conv2D(8, 3, 2, "same", use_bias=False)(chip)))
        y = layers.ReLU()(_normal(layers.DepthwiseConv2D(3, 1, "same", use_bias=False)(x)))
        y = _normal(layers.Conv2D(8, 1)(y))
        x = layers.ReLU()(layers.Add()([x, y]))
        x = layers.Dense(16)(layers.Flatten()(layers.Conv2D(4, 3, 2, activation="relu")(x)))
    else:
        x = layers.Dense(16)(layers.Dense(24, "relu")(layers.Flatten()(chip)))
        x = layers.UnitNormalization()(x) if kind == "unit" else x
    keras.Model(chip, x).save(path)
    return path


def _normal(x: Any) -> Any:
    """Batch normalisation as after a training: no two channels alike."""
    import keras

    layer = keras.layers.BatchNormalization()
    normal = layer(x)
    rng = np.random.default_rng(x.shape[-1])
    layer.set_weights([rng.uniform(0.5, 1.5, weight.shape) for weight in layer.get_weights()])
    return normal


def write_run(folder: Path, chips: Path, encoder: Path) -> Path:
    """A run's folder, as ``train`` leaves it."""
    folder.mkdir()
    (folder / "encoder.keras").write_bytes(encoder.read_bytes())
    document = {
        "schema": 1,
        "recipe_name": "tiny",
        "recipe": {"teacher": {"path": "/home/somebody/teacher.onnx"}},
        "seed": 5,
        "epochs_done": 2,
        "finished": True,
        "chips": {"path": str(chips), "sha256": file_digest(chips)[0], "preprocessing_hash": "", "detector": "haar"},
        "preprocessing": PREPROCESSING.as_json(),
        "code_size": 16,
        "versions": {},
        "commit": None,
        "lineage": ["fitted on drawings of nobody", "codes learned from a drawing"],
        "history": [],
    }
    (folder / "run.json").write_text(json.dumps(document))
    return folder
