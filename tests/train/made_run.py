"""A small real run: drawn faces as chips, and Keras models that were never fitted."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from edge_runtime.bundle.preprocessing import Preprocessing
from edge_runtime.geometry.alignment import Template
from edge_runtime.pictures.chips import Chips
from tests.builders import BOX_POINTS, draw_face
from train.data.chips import make_crop, write_chips

PHOTOS = 4
SELECT, TRAIN, COHORT = range(5), range(5, 6), range(6, 7)
GREY = Preprocessing("grey", (0.0,), (255.0,), Template.arcface(28, 6))
BGR = Preprocessing("bgr", (127.5,) * 3, (127.5,) * 3, Template.arcface(32, 6))


def make_chips(path: Path) -> Chips:
    """Chips of seven drawn people with four photos each: five ``select``, one ``train``, one ``cohort``."""
    crops, names, splits, paths = [], [], [], []
    for people, split in ((SELECT, "select"), (TRAIN, "train"), (COHORT, "cohort")):
        for person in people:
            for photo in range(PHOTOS):
                width = 70 + 8 * photo
                pixels = draw_face(person, width, background=photo)
                landmarks = BOX_POINTS * width + (pixels.shape[0] - width) / 2 + 1.5 * photo
                crops.append(make_crop(pixels, landmarks.astype(np.float32)))
                names.append(f"P{person}")
                splits.append(split)
                paths.append(f"P{person}/P{person}_{photo + 1:04d}.png")
    write_chips(path, crops, names, splits, paths, "haar", "drawn faces")
    return Chips.load(path)


def make_run(folder: Path, preprocessing: Preprocessing = GREY, code_size: int = 16) -> Path:
    """The folder of a run on such chips, as ``train fit`` leaves one."""
    import keras

    from train.runs.run import Run, describe_chips, versions

    folder.mkdir(parents=True)
    chips = make_chips(folder.parent / "chips.npz")
    keras.utils.set_random_seed(0)
    width, height = preprocessing.template.size_wh
    shape = (height, width, preprocessing.channels)
    face, code = keras.Input(shape), keras.Input((code_size,))
    flat = keras.layers.Flatten()(face)
    keras.Model(face, keras.layers.Dense(code_size)(flat)).save(folder / "encoder.keras")
    pixels = keras.layers.Dense(int(np.prod(shape)), "sigmoid")(code)
    keras.Model(code, keras.layers.Reshape(shape)(pixels)).save(folder / "decoder.keras")
    history = [{"epoch": e, "loss": 1 / e, "val_loss": 1.2 / e, "val_pair_accuracy": 0.5 + e / 20} for e in (1, 2, 3)]
    recipe = {"input": {"colour": preprocessing.colour, "size": width}, "loss": {"reconstruction": 1.0}}
    Run(
        path=folder,
        recipe=recipe,
        recipe_name="small",
        recipe_text="# small\n",
        overrides=["fit.epochs=3", 'teacher.path="/home/somebody/teacher.onnx"'],
        seed=7,
        epochs_done=3,
        finished=True,
        chips_file=describe_chips(chips),
        also=[],
        preprocessing=preprocessing,
        code_size=code_size,
        versions=versions(),
        commit="0123456789abcdef",
        precision="float32",
        lineage=["drawn faces of <nobody>"],
        history=history,
    ).save()
    return folder
