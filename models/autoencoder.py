"""The autoencoder: encoder, decoder, and a head of known people for as long as it trains.

Only ``keras.ops`` is used, so that it runs on whichever backend Keras has.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import keras
from keras import ops

Terms = dict[str, Any]
"""Loss terms by name, scalars, each already times its weight."""
Objective = Callable[[Mapping[str, Any], Mapping[str, Any]], Terms]
"""From targets and outputs to the terms whose sum is minimised."""


class Autoencoder(keras.Model):
    """Encoder and decoder, and one direction in code space a known person.

    Outputs, by name: ``code`` (N, D) as the encoder gives it, ``direction`` (N, D) of unit length,
    ``picture`` (N, h, w, C) in 0..1, with a head of people ``cosine`` (N, people), and for every teacher
    ``taught0`` (N, its code's length), ``taught1`` and so on, of unit length: what is to be like its code.
    """

    def __init__(
        self, encoder: keras.Model, decoder: keras.Model, people: int = 0, taught: tuple[int, ...] = ()
    ) -> None:
        """Join the two.

        Args:
            encoder: chip to code.
            decoder: code to picture.
            people: how many people the head knows; 0: there is no head.
            taught: length of each teacher's code. The first, if it is as long as the encoder's, is to be learned
                as it is; others by way of a linear map.
        """
        super().__init__(name="autoencoder")
        self.encoder = encoder
        self.decoder = decoder
        self.people = None
        if people:
            self.people = self.add_weight(
                shape=(people, encoder.output_shape[-1]), initializer="glorot_normal", name="people", dtype="float32"
            )
        size = encoder.output_shape[-1]
        self._maps = [
            None if k == 0 and length == size else keras.layers.Dense(length, use_bias=False, name=f"taught{k}")
            for k, length in enumerate(taught)
        ]
        self._means: dict[str, keras.metrics.Mean] = {}
        self._objective: Objective | None = None

    def compile(self, optimizer: keras.optimizers.Optimizer, objective: Objective, terms: list[str]) -> None:
        """Set what is minimised.

        Args:
            optimizer: the optimiser.
            objective: gives the loss terms.
            terms: their names, in the order they are to be reported.
        """
        # TensorFlow's XLA on a CPU takes longer to compile these models than it saves; JAX is slow without it.
        jit = "auto" if keras.backend.backend() == "jax" else False
        super().compile(optimizer=optimizer, jit_compile=jit)
        self._objective = objective
        self._means = {name: keras.metrics.Mean(name=name) for name in ("loss", *terms)}

    @property
    def metrics(self) -> list[keras.metrics.Metric]:
        """Running means of the loss and its terms."""
        return list(self._means.values())

    def call(self, chips: Any, training: bool = False) -> dict[str, Any]:
        """See the class for the outputs."""
        code = ops.cast(self.encoder(chips, training=training), "float32")
        return {**self.read(code), "picture": self.decoder(code, training=training)}

    @property
    def state(self) -> list[keras.Variable]:
        """Everything that training changes, apart from the optimiser."""
        return list(self.weights)

    def read(self, code: Any) -> dict[str, Any]:
        """The outputs that need nothing but the code."""
        direction = unit(code)
        outputs = {"code": code, "direction": direction}
        for k, linear in enumerate(self._maps):
            outputs[f"taught{k}"] = direction if linear is None else unit(linear(direction))
        if self.people is not None:
            outputs["cosine"] = ops.matmul(direction, ops.transpose(unit(ops.convert_to_tensor(self.people))))
        return outputs

    def compute_loss(
        self, x: Any = None, y: Any = None, y_pred: Any = None, sample_weight: Any = None, training: bool = True
    ) -> Any:
        """The sum of the objective's terms; each also enters its running mean."""
        assert self._objective is not None  # Keras does not train what is not compiled
        terms = self._objective(y, y_pred)
        loss = sum(terms.values())
        for name, value in {"loss": loss, **terms}.items():
            if name in self._means:
                self._means[name].update_state(value)
        return loss

    def compute_metrics(self, x: Any, y: Any, y_pred: Any, sample_weight: Any = None) -> dict[str, Any]:
        """The running means."""
        return {name: mean.result() for name, mean in self._means.items()}


def unit(rows: Any) -> Any:
    """Rows (N, D) at unit length; a zero row stays zero and has a finite gradient."""
    return rows * ops.rsqrt(ops.sum(ops.square(rows), axis=-1, keepdims=True) + 1e-12)
