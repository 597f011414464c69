"""Keras 3 on the torch backend: fit on real digits."""

import os
import sys

os.environ["KERAS_BACKEND"] = "torch"

import keras
from sklearn.datasets import load_digits

from expman.integrations.keras import KerasCallback

base, out, mode = sys.argv[1:]
digits = load_digits()
model = keras.Sequential([keras.layers.Input((64,)), keras.layers.Dense(10)])
model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(True), metrics=["accuracy"])


class Raise(keras.callbacks.Callback):
    def on_train_batch_end(self, batch, logs=None):
        raise ValueError("a bad batch")


def fit(epochs: int, *callbacks, start: int = 0) -> None:
    model.fit(
        digits.data / 16.0,
        digits.target,
        epochs=epochs,
        initial_epoch=start,
        batch_size=100,
        validation_split=0.2,
        verbose=0,
        callbacks=[*callbacks],
    )


settings = {"base_dir": base, "run_name": "run", "quiet": True}
callback = KerasCallback("digits", every_batches=5, log_model=True, **settings)
if mode == "raise":
    fit(3, callback, Raise())
fit(3, callback)
fit(5, callback, start=3)
