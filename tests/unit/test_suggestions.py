"""A misspelt name gets the answer: which one may be meant."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

import expman
from expman import Experiment, ExperimentConfig
from expman.suggestions import did_you_mean, suggests_fields

CONFIGS_CHECK = type(ExperimentConfig) is not type(msgspec.Struct)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: expman.init("a", runname="b"),
            "init() has no argument 'runname'; did you mean 'run_name'?",
        ),
        (
            lambda: Experiment("a", descripton="b"),
            "Experiment() has no argument 'descripton'; did you mean 'description'?",
        ),
        pytest.param(
            lambda: ExperimentConfig("a", basedir="b"),
            "ExperimentConfig() has no argument 'basedir'; did you mean 'base_dir'?",
            marks=pytest.mark.skipif(not CONFIGS_CHECK, reason="before msgspec 0.20"),
        ),
    ],
)
def test_a_misspelt_argument(
    call: Callable[[], object], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error names the argument that may be meant, and no run begins."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(TypeError) as caught:
        call()
    assert message == str(caught.value)
    assert [] == list(tmp_path.iterdir())


def test_an_argument_that_resembles_none() -> None:
    """Then the error lists them all, `self` left out."""
    with pytest.raises(TypeError, match=r"its arguments: name, run_name, .*, quiet, config$"):
        Experiment("a", zzz=1)  # type: ignore[call-arg]


def test_signatures_stay_visible() -> None:
    """Editors and help() see the arguments, and no path of this machine among the defaults."""
    for function in (expman.init, Experiment, ExperimentConfig):
        shown = str(inspect.signature(function))
        assert "run_name: " in shown
        assert "/bin/" not in shown


@pytest.mark.parametrize(
    ("name", "meant"), [("lgo", "log"), ("Experment", "Experiment"), ("finish", "close")]
)
def test_a_misspelt_function(name: str, meant: str) -> None:
    """expman.lgo names expman.log; the name of another tracker names its counterpart."""
    message = f"module 'expman' has no attribute {name!r}; did you mean {meant!r}?"
    with pytest.raises(AttributeError) as caught:
        getattr(expman, name)
    assert message == str(caught.value)


@pytest.mark.parametrize(
    ("name", "answer"),
    [
        ("finish", "; did you mean 'close'?"),
        ("summary", "; did you mean 'log_scalar'?"),
        ("log_vectr", "; did you mean 'log_vector'?"),
        ("start_run", ""),  # `init` is a function, and no run has it
        ("_repr_png_", ""),
    ],
)
def test_a_name_that_a_run_does_not_have(name: str, answer: str, tmp_path: Path) -> None:
    """The error names the method that is meant; what machinery asks for gets no search."""
    run = Experiment("a", base_dir=str(tmp_path), quiet=True)
    with run, pytest.raises(AttributeError) as caught:
        getattr(run, name)
    assert f"'Experiment' object has no attribute {name!r}{answer}" == str(caught.value)
    assert name == caught.value.name


def test_attributes_of_machinery_get_no_suggestion() -> None:
    """hasattr(expman, "__file_") and the like cost no search."""
    with pytest.raises(AttributeError, match=r"'__file_'$"):
        expman.__file_  # type: ignore[attr-defined]  # noqa: B018


def test_the_last_part_of_a_name_is_enough() -> None:
    """Metrics are often called by it."""
    assert "; did you mean 'train/loss'?" == did_you_mean(["los"], ["train/loss", "acc"])
    assert "" == did_you_mean(["los"], ["acc"])


def test_a_metaclass_that_cannot_be_derived() -> None:
    """msgspec 0.19 has such a one: its own error has to do."""
    assert bool is suggests_fields(bool)  # type: ignore[arg-type]
