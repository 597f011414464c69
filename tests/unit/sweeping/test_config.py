"""sweep.yaml: what it may say, and which trials follow from it."""

from __future__ import annotations

from pathlib import Path

import pytest

from expman.errors import ConfigError
from expman.sweeping.config import Choice, Range, SweepConfig, read_config
from expman.sweeping.search import count_trials, params_of
from expman.sweeping.slurm import slurm_script


def config_of(tmp_path: Path, text: str) -> SweepConfig:
    path = tmp_path / "search.yaml"
    path.write_text(text)
    return read_config(str(path))


def test_a_grid_has_all_combinations(tmp_path: Path) -> None:
    """The last parameter changes first; lists, ranges with steps and constants are allowed."""
    config = config_of(
        tmp_path, "params:\n  lr: [0.1, 0.2]\n  n: {min: 1, max: 3}\n  name: resnet\n"
    )
    assert ("search", "grid", 6) == (config.name, config.method, count_trials(config))
    found = [params_of(config, number) for number in range(6)]
    assert [(0.1, 1), (0.1, 2), (0.1, 3), (0.2, 1), (0.2, 2), (0.2, 3)] == [
        (one["lr"], one["n"]) for one in found
    ]
    assert {"resnet"} == {one["name"] for one in found}
    assert [0.0, 0.5, 1.0] == Range(0.0, 1.0, step=0.5).grid
    assert [0.1, 0.2, 0.3] == pytest.approx(Range(0.1, 0.3, step=0.1).grid)


def test_chance_gives_a_number_the_same_parameters_always(tmp_path: Path) -> None:
    """By the seed and the number; within the bounds, whole where the bounds are."""
    text = (
        "method: random\ntrials: 50\nseed: 7\nparams:\n"
        "  lr: {min: 1.0e-5, max: 0.1, log: true}\n  n: {min: 2, max: 9}\n"
        "  p: {min: 0, max: 0.5}\n  act: {values: [relu, gelu]}\n"
    )
    config = config_of(tmp_path, text)
    found = [params_of(config, number) for number in range(count_trials(config))]
    assert found == [params_of(config, number) for number in range(50)]
    assert all(1e-5 <= one["lr"] <= 0.1 and 0 <= one["p"] <= 0.5 for one in found)  # type: ignore[operator]
    assert set(range(2, 10)) == {one["n"] for one in found}
    assert 10 < sum(one["lr"] < 1e-3 for one in found) < 40  # type: ignore[operator]
    assert {"relu", "gelu"} == {one["act"] for one in found}
    other = config_of(tmp_path, text.replace("seed: 7", "seed: 8"))
    assert params_of(other, 0) != found[0]
    assert other.digest != config.digest
    assert config.digest == config_of(tmp_path, text.replace("trials: 50", "trials: 60")).digest


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("params: {}", "mapping"),
        ("method: random\nparams: {a: 1}", "trials"),
        ("sampler: tpe\ntrials: 3\nparams: {a: 1}", "metric"),
        ("params: {a: {min: 0.1, max: 1.0}}", "infinitely many"),
        ("params: {a: {min: 2, max: 1}}", "above max"),
        ("params: {a: {min: 0, max: 1, log: true}}", "above 0"),
        ("params: {a: {min: x, max: 1}}", "numbers"),
        ("params: {a: {low: 1}}", "must be a value"),
        ("params: {a b: 1}", "letters"),
        ("params: {lr: 1, LR: 2}", "case only"),
        ("metod: grid\nparams: {a: 1}", "did you mean 'method'"),
        ("goal: best\nparams: {a: 1}", "goal"),
        ("trials: 0\nparams: {a: 1}", "at least 1"),
        ("name: a/b\nparams: {a: 1}", "separator"),
        ("name: 'a,b'\nparams: {a: 1}", "comma"),
        ("method: grid\nsampler: tpe\nparams: {a: 1}", "either"),
    ],
)
def test_what_a_sweep_cannot_be_is_refused(tmp_path: Path, text: str, rule: str) -> None:
    """With a sentence that says what to do."""
    with pytest.raises(ConfigError, match=rule):
        config_of(tmp_path, text)


def test_a_slurm_script_has_a_task_for_each_trial(tmp_path: Path) -> None:
    """Names and arguments with blanks are quoted; nothing is taken for a rank."""
    config = SweepConfig(name="s", params={"a": Choice((1, 2))})
    text = slurm_script(
        config,
        2,
        sweep_file="my sweep.yaml",
        base_dir=str(tmp_path),
        command=["python", "my train.py"],
        at_once=4,
        options=["--gres=gpu:1"],
    )
    assert "#SBATCH --array=0-1%4\n" in text
    assert "#SBATCH --gres=gpu:1\n" in text
    assert "my sweep.yaml' --base-dir" in text
    assert "--trial \"$SLURM_ARRAY_TASK_ID\" -- python 'my train.py'\n" in text
    assert "PROCID" not in text
