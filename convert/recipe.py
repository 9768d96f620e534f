"""A recipe of conversion: one way of making a .tflite model, as a TOML file; unknown keys are errors."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edge_runtime.errors import ConfigError
from edge_runtime.schema.recipe_file import read_recipe
from edge_runtime.schema.table import key, section

RECIPES = Path(__file__).parent / "recipes"
QUANTISATIONS = ("int8", "int8_qat", "float16", "dynamic", "none")


@dataclass(frozen=True)
class Recipe:
    """Every key without a default is required. A loss is against the float model, in shares of 1.

    Attributes:
        name: of the file.
        quantisation: ``int8`` after training, ``int8_qat`` with a training aware of it, ``float16`` weights,
            ``dynamic`` int8 weights alone, ``none``: the file is taken as it is.
        edgetpu: nothing but what maps wholly to the Edge TPU is taken.
        calibration_chips: how many real chips set the ranges of the tensors.
        per_tensor_dense: one scale for the weights of a dense layer.
        seed: of every draw.
        cosine_mean: the least mean cosine of the two models' codes of held-out chips.
        cosine_p1: the same at the first percentile.
        layer_snr_db: the least ratio of signal to error at the output of any layer, dB.
        pair_accuracy_loss: how much accuracy on pairs may be lost.
        tmr_loss: the same of true matches at one false match in 1,000.
        dir_loss_1_percent, dir_loss_01_percent: the same of enrolled people found with 1 % and 0.1 % of strangers
            named.
        mirror: whether codes may be averaged with the mirror image's, where that tells people apart better.
        cohort_codes: how many strangers' codes a bundle carries.
        golden_chips: how many pictures the self-test has.
        qat_epochs, qat_chips, qat_learning_rate: of the training of ``int8_qat``.
    """

    name: str = key()
    quantisation: str = key(choices=QUANTISATIONS)
    edgetpu: bool = key(low=0, high=1)
    calibration_chips: int = key(low=0, high=10_000)
    per_tensor_dense: bool = key(low=0, high=1)
    seed: int = key(low=0, high=2**32 - 1)
    cosine_mean: float = key(low=-1, high=1)
    cosine_p1: float = key(low=-1, high=1)
    layer_snr_db: float = key(low=-100, high=200)
    pair_accuracy_loss: float = key(low=0, high=1)
    tmr_loss: float = key(low=0, high=1)
    dir_loss_1_percent: float = key(low=0, high=1)
    dir_loss_01_percent: float = key(low=0, high=1)
    cohort_codes: int = key(low=1, high=1_000_000)
    golden_chips: int = key(low=1, high=1000)
    mirror: bool = key(True, low=0, high=1)
    qat_epochs: int = key(0, low=0, high=1000)
    qat_chips: int = key(0, low=0, high=1_000_000)
    qat_learning_rate: float = key(0.0, low=0, high=1)

    @property
    def label(self) -> str:
        """What a model of it is called in tables beside ``float``."""
        return "int8" if self.full_int8 else {"none": "wrapped"}.get(self.quantisation, self.quantisation)

    @property
    def full_int8(self) -> bool:
        """Whether every tensor must be int8."""
        return self.quantisation in ("int8", "int8_qat")


def load_recipe(name_or_path: str) -> Recipe:
    """Read a recipe.

    Args:
        name_or_path: of a file in ``RECIPES``, or a .toml file, which may name one of those as its ``base``.

    Raises:
        ConfigError: no such recipe, not TOML, an unknown or missing key, a wrong type or a value out of range.
    """
    document, path, _ = read_recipe(RECIPES, name_or_path)
    recipe = section(Recipe, {"name": path.stem, **document}, str(path))
    if recipe.full_int8 and not recipe.calibration_chips:
        raise ConfigError(f"{path} calibration_chips: expected at least 1 for {recipe.quantisation}, found 0")
    if recipe.quantisation == "int8_qat" and not (recipe.qat_epochs and recipe.qat_chips and recipe.qat_learning_rate):
        raise ConfigError(f"{path}: expected qat_epochs, qat_chips and qat_learning_rate above 0 for int8_qat")
    return recipe
