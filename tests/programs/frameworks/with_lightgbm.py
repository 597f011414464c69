"""lightgbm.train, and a classifier that stops early, on real digits."""

import sys

import lightgbm
from sklearn.datasets import load_digits

from expman.integrations.lightgbm import LightGBMCallback

base, out, mode = sys.argv[1:]
digits = load_digits()
train = lightgbm.Dataset(digits.data[:1500], digits.target[:1500], free_raw_data=False)
params = {"objective": "multiclass", "num_class": 10, "num_leaves": 4, "verbose": -1}
settings = {"base_dir": base, "quiet": True}
if mode == "raise":
    calls = []

    def metric(predicted, data):
        calls.append(data)
        if len(calls) == 3:
            raise ValueError("a bad batch")
        return "calls", len(calls), True

    callback = LightGBMCallback("digits", run_name="run", **settings)
    lightgbm.train(params, train, 6, valid_sets=[train], feval=metric, callbacks=[callback])
booster = lightgbm.train(
    params,
    train,
    6,
    valid_sets=[train, train.create_valid(digits.data[1500:], digits.target[1500:])],
    valid_names=["train", "test"],
    callbacks=[LightGBMCallback("digits", run_name="run", log_model=True, **settings)],
)
more = LightGBMCallback("digits", run_name="more", **settings)
lightgbm.train(params, train, 2, valid_sets=[train], init_model=booster, callbacks=[more])
callback = LightGBMCallback("digits", run_name="early", **settings)
model = lightgbm.LGBMClassifier(n_estimators=50, num_leaves=31, learning_rate=1.0, verbose=-1)
model.fit(
    digits.data[:1500],
    digits.target[:1500],
    eval_set=[(digits.data[1500:], digits.target[1500:])],
    callbacks=[callback, lightgbm.early_stopping(2, verbose=False)],
)
callback.close()
