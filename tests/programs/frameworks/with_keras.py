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
model.fit(
    digits.data / 16.0,
    digits.target,
    epochs=3,
    batch_size=100,
    validation_split=0.2,
    verbose=0,
    callbacks=[KerasCallback("digits", base_dir=base, run_name="run", quiet=True, every_batches=5)],
)
