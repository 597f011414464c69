"""A study with a row per trial, and a run per trial: one is pruned, one fails."""

import sys

import optuna

from expman.integrations.optuna import StudyCallback, trial_run

base, out, mode = sys.argv[1:]
optuna.logging.set_verbosity(optuna.logging.ERROR)


def objective(trial):
    x = trial.suggest_float("x", -1, 1)
    kind = trial.suggest_categorical("kind", ["a", "b"])
    with trial_run(trial, "trials", base_dir=base, quiet=True) as run:
        trial.report(0.5, 3)
        if trial.number == 1:
            raise optuna.TrialPruned("too slow")
        if trial.number == 2:
            raise ValueError("a bad trial")
        for step in range(3):
            run.log({"value": x * x / (step + 1)}, step)
    return x * x + (kind == "b")


callback = StudyCallback("study", base_dir=base, quiet=True)
study = optuna.create_study(study_name="s", sampler=optuna.samplers.RandomSampler(seed=1))
study.optimize(objective, n_trials=5, callbacks=[callback], catch=ValueError)
callback.close()
