"""xgboost.train twice, and cv, on real digits."""

import sys

import xgboost
from sklearn.datasets import load_digits

from expman.integrations.xgboost import XGBoostCallback

base, out, mode = sys.argv[1:]
digits = load_digits()
train = xgboost.DMatrix(digits.data[:1500], digits.target[:1500])
test = xgboost.DMatrix(digits.data[1500:], digits.target[1500:])
params = {"objective": "multi:softprob", "num_class": 10, "max_depth": 2}
settings = {"base_dir": base, "suffix_if_taken": True, "quiet": True}
callback = XGBoostCallback("digits", run_name="run", log_model=True, **settings)
if mode == "raise":

    def loss(predicted, data):
        raise ValueError("a bad batch")

    xgboost.train({"num_class": 10}, train, 8, obj=loss, callbacks=[callback])
for _ in range(2):
    booster = xgboost.train(
        params,
        train,
        8,
        evals=[(train, "train"), (test, "test")],
        early_stopping_rounds=5,
        callbacks=[callback],
        verbose_eval=False,
    )
more = XGBoostCallback("digits", run_name="more", **settings)
evals = [(test, "test")]
xgboost.train(params, train, 2, evals, xgb_model=booster, callbacks=[more], verbose_eval=False)
xgboost.cv(
    params,
    train,
    3,
    nfold=3,
    callbacks=[XGBoostCallback("digits", base_dir=base, run_name="cv", quiet=True)],
)
