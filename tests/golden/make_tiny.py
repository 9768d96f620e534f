"""Makes tiny.tflite, the int8 model that tests use as an encoder: a fixed smooth random projection, 784 to 32.

It is trained on nothing. Columns have zero sum, so that brightness falls out of the code, and are smooth, so
that a pixel's shift moves the code little. Run with the desktop's environment: python tests/golden/make_tiny.py
"""

from pathlib import Path

import cv2
import keras
import numpy as np
import tensorflow as tf


def main() -> None:
    rng = np.random.default_rng(0)
    picture = keras.Input(batch_shape=(1, 28, 28, 1))
    dense = keras.layers.Dense(32, use_bias=False)
    model = keras.Model(picture, dense(keras.layers.Reshape((784,))(picture)))
    weights = np.stack([cv2.GaussianBlur(rng.normal(size=(28, 28)), (0, 0), 1.6) for _ in range(32)], -1)
    weights = weights.reshape(784, 32) - weights.reshape(784, 32).mean(0)
    dense.set_weights([(weights / np.linalg.norm(weights, axis=0)).astype(np.float32)])

    def calibration():
        for _ in range(200):
            chip = cv2.GaussianBlur(rng.normal(size=(28, 28)), (0, 0), 3)
            yield [(chip / np.abs(chip).max())[None, ..., None].astype(np.float32)]

    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = calibration
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = converter.inference_output_type = tf.int8
    converter._experimental_disable_per_channel_quantization_for_dense_layers = True
    Path(__file__).with_name("tiny.tflite").write_bytes(converter.convert())


if __name__ == "__main__":
    main()
