"""Muon for convolutions: each step moves a kernel by an orthogonal matrix, so that no direction is left behind.

Jordan et al., "Muon: an optimizer for hidden layers in neural networks", 2024; scaled as in Liu et al., "Muon is
scalable for LLM training", 2025, so that AdamW's learning rates fit. A kernel (h, w, in, out) is taken as the matrix
(h * w * in, out). What is no matrix (biases, normalisation, depthwise kernels) is AdamW's.
"""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

_ADAM_RATIO = 0.3


class ConvMuon(keras.optimizers.Muon):
    """Keras's Muon, which leaves kernels of four dimensions to AdamW, with them.

    The last layers of encoder and decoder are AdamW's too, as its authors advise for a network's last layer.
    """

    def __init__(self, learning_rate: float, weight_decay: float, dtype: str = "float32") -> None:
        """Set up.

        Args:
            learning_rate: of a matrix; AdamW's is three tenths of it.
            weight_decay: of both.
            dtype: to orthogonalise in; bfloat16 is exact enough, and faster where the machine computes in it.
        """
        super().__init__(
            learning_rate,
            adam_weight_decay=weight_decay,
            weight_decay=weight_decay,
            exclude_layers=["code", "pixels", "people"],
            adam_lr_ratio=_ADAM_RATIO,
        )
        self._dtype = dtype

    def _should_use_adamw(self, variable: Any) -> bool:
        matrix = len(variable.shape) == 2 or (len(variable.shape) == 4 and variable.shape[-1] > 1)
        return not matrix or any(name in variable.path for name in self.exclude_layers)

    def _muon_update_step(self, gradient: Any, variable: Any, lr: Any, m: Any) -> None:
        self.assign_add(m, ops.add(gradient, m * (self.momentum - 1)))
        wanted = ops.add(gradient, self.momentum * m) if self.nesterov else m
        matrix = ops.reshape(wanted, (-1, variable.shape[-1]))
        update = self.zeropower_via_newtonschulz5(ops.cast(matrix, self._dtype), self.ns_steps)
        step = self.lr_adjust(lr * ops.cast(update, variable.dtype))
        self.assign_sub(variable, ops.reshape(step, variable.shape))
