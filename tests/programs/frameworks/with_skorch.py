"""skorch: a fit, one that raises, and a grid search on real digits."""

import sys

import numpy as np
import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import GridSearchCV
from skorch import NeuralNetClassifier

from expman.integrations.skorch import SkorchCallback

base, out, mode = sys.argv[1:]
digits = load_digits()
x, y = (digits.data / 16.0).astype(np.float32), digits.target.astype(np.int64)


class Net(torch.nn.Module):
    def __init__(self, raises: bool = False) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(64, 10)
        self.raises = raises

    def forward(self, batch):
        if self.raises:
            raise ValueError("a bad batch")
        return torch.softmax(self.layer(batch), -1)


def net(name: str) -> NeuralNetClassifier:
    callback = SkorchCallback(
        "digits", base_dir=base, run_name=name, suffix_if_taken=True, quiet=True
    )
    return NeuralNetClassifier(Net, lr=0.1, max_epochs=3, callbacks=[callback], verbose=0)


failing = net("failing")
try:
    failing.set_params(module__raises=True).fit(x, y)
except ValueError as exc:
    print("raised", exc)
failing.set_params(module__raises=False).fit(x, y)
GridSearchCV(net("search"), {"lr": [0.1, 0.2]}, cv=2, refit=False).fit(x, y)
