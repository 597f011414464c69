"""A program that has `import expman.compat.wandb as wandb` records what it logs."""

from __future__ import annotations

import argparse
import io
import json
import os
import pickle
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import StartProgram

import expman
import expman.compat.wandb as wandb
from expman import Run, RunStatus

pytestmark = pytest.mark.usefixtures("standing_writer")


@pytest.fixture(autouse=True)
def base(run_base: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Runs go to a directory of the test's own; none stays open."""
    monkeypatch.setenv("EXPMAN_BASE_DIR", str(run_base))
    monkeypatch.setenv("EXPMAN_QUIET", "1")
    yield run_base
    wandb.finish()


def ended(run: wandb.Run) -> Run:
    run.finish()
    return Run(str(run.run_dir))


def rows(run: Run, *names: str) -> list[tuple[Any, ...]]:
    table = run.vectors(list(names)).to_pydict()
    return list(zip(*(table[name] for name in names), strict=True))


def lines(run: Run) -> list[str]:
    return [entry.message for entry in run.log()]


def test_what_a_run_is(base: Path) -> None:
    """The project is the experiment, the name the run's; tags, notes and group are recorded."""
    run = wandb.init(
        project="mnist", name="first", tags=["a", "b"], notes="text", group="g", job_type="train"
    )
    assert wandb.run is run
    assert ("first", "mnist", "mnist/first", 0) == (run.name, run.project, run.path, run.step)
    assert (base / "mnist" / "first").as_uri() == run.url
    (Path(run.dir) / "notes.txt").write_text("kept")
    found = ended(run)

    assert wandb.run is None
    assert (["a", "b"], "g", "text") == (
        found.metadata.tags,
        found.metadata.group,
        found.metadata.description,
    )
    assert {"job_type": "train"} == found.scalars
    assert "kept" == (Path(found.path) / "files" / "notes.txt").read_text()
    assert RunStatus.FINISHED == found.status


def test_steps() -> None:
    """They count as wandb's do, and each call is a row: also one whose step is late."""
    run = wandb.init(project="p")
    seen = []
    for call in (
        {"data": {"a": 1}, "step": 5},
        {"data": {"a": 2}},
        {"data": {"a": 3}, "commit": False},
        {"data": {"b": {"c": 4}}},
        {"data": {"a": 5}, "step": 3},
        {"data": {"a": 6}, "step": 9, "commit": True},
    ):
        wandb.log(**call)  # type: ignore[arg-type]
        seen.append(run.step)
    assert [5, 6, 6, 7, 7, 10] == seen
    assert {"a": 6, "b/c": 4} == dict(run.summary)
    found = ended(run)

    assert [(5, 1), (5, 2), (6, 3), (6, None), (3, 5), (9, 6)] == rows(found, "step", "a")
    assert "step 3 came after step 7: rows keep the order of calls" in lines(found)


def test_what_a_row_takes() -> None:
    """Numbers of any library, text, short lists; None is left out, and so is a strange object."""
    run = wandb.init(project="p")
    run.log({"f": np.float32(0.5), "one": np.array([3]), "s": "x", "l": [1, 2], "n": None})
    run.log({"odd": object(), "step": 1, "flag": True})
    found = ended(run)

    assert [(0.5, 3, "x", "[1,2]"), (None, None, None, None)] == rows(found, "f", "one", "s", "l")
    assert [(None, None), (1, True)] == rows(found, "step_", "flag")
    assert ["odd is nothing that can be logged, left out"] == lines(found)


def test_config() -> None:
    """Items are attributes; another value needs allow_val_change."""
    run = wandb.init(project="p", config={"lr": 0.1, "net": {"layers": [1, 2]}})
    wandb.config.epochs = 3
    wandb.config.update(argparse.Namespace(batch=8))
    wandb.config.setdefaults({"lr": 1, "seed": 0})
    with pytest.raises(wandb.UsageError, match=r"'lr' is 0\.1 and would become 1"):
        wandb.config["lr"] = 1
    wandb.config.update({"lr": 0.2}, allow_val_change=True)
    assert (0.2, 3, None) == (run.config.lr, run.config["epochs"], run.config.get("nothing"))
    assert not hasattr(run.config, "nothing")
    expected = {"lr": 0.2, "net": {"layers": [1, 2]}, "epochs": 3, "batch": 8, "seed": 0}

    assert expected == dict(run.config) == ended(run).config


def test_config_of_a_file(tmp_path: Path) -> None:
    """A YAML file, with values as wandb's files have them; keys can be left out."""
    path = tmp_path / "config.yaml"
    path.write_text("wandb_version: 1\nlr:\n  value: 0.1\nseed: 3\nsecret: x\n")
    run = wandb.init(project="p", config=str(path), config_exclude_keys=["secret"])

    assert {"lr": 0.1, "seed": 3} == ended(run).config


def test_summary() -> None:
    """The last values, what define_metric wants, and what is set: the latter two are scalars."""
    run = wandb.init(project="p")
    run.define_metric("loss", summary="min,mean")
    run.define_metric("eval/*", summary="best", goal="maximize")
    for value in (3.0, 1.0, float("nan"), 2.0):
        run.log({"loss": value, "eval/acc": value, "lr": value})
    wandb.summary["done"] = True
    wandb.summary.update({"test": {"acc": 0.5}})
    assert ({"min": 1.0, "mean": 2.0}, 2.0) == (run.summary["loss"], run.summary.lr)

    expected = {"loss/min": 1.0, "loss/mean": 2.0, "eval/acc/max": 3.0, "done": True}
    assert {**expected, "test/acc": 0.5} == ended(run).scalars


def test_step_metric() -> None:
    """A row that lacks the step metric of its metrics gets the last value of it."""
    run = wandb.init(project="p")
    epoch = run.define_metric("epoch")
    run.define_metric("eval/*", step_metric=epoch)
    run.log({"epoch": 1})
    run.log({"eval/acc": 0.5})
    run.log({"other": 1})
    with pytest.raises(wandb.UsageError, match="summary 'mode' must be one of min"):
        run.define_metric("x", summary="mode")
    found = ended(run)

    assert [(1, None), (1, 0.5), (None, None)] == rows(found, "epoch", "eval/acc")
    assert ["metric 'eval/*' is drawn over 'epoch'"] == lines(found)


def test_media() -> None:
    """Pictures, sounds, videos, pages, tables, charts and distributions are the run's media."""
    run = wandb.init(project="p")
    table = wandb.Table(columns=["name", "score", "image"])
    table.add_data("a", 1, wandb.Image(np.zeros((4, 4))))
    table.add_data("b", 0.5, None)
    run.log(
        {
            "image": wandb.Image(np.full((4, 6, 3), 0.5), caption="half"),
            "images": [wandb.Image(np.zeros((4, 4), np.uint8)) for _ in range(2)],
            "sound": wandb.Audio(np.zeros(80), sample_rate=8000),
            "film": wandb.Video(np.zeros((2, 3, 4, 4), np.uint8), fps=2),
            "page": wandb.Html("<b>x</b>"),
            "table": table,
            "values": wandb.Histogram([1.0, 2.0, 3.0], num_bins=4),
            "binned": wandb.Histogram(np_histogram=([1, 2], [0, 1, 2])),
            "many": np.arange(100.0),
            "matrix": wandb.plot.confusion_matrix(y_true=[0, 1, 1], preds=[0, 1, 0]),
            "nested": {"image": wandb.Image(np.zeros((4, 4, 1)))},
        },
        step=7,
    )
    found = ended(run)

    kinds = {item.tag: item.kind for item in found.media()}
    images = ("image", "images/0", "images/1", "nested/image", "table/image/0")
    expected = {
        **dict.fromkeys(images, "image"),
        "image/caption": "text",
        "sound": "audio",
        "film": "video",
        "page": "text",
        "table": "table",
        "matrix": "confusion_matrix",
    }
    assert expected == kinds
    assert {7} == {item.step for item in found.media()}
    bins = {one.tag: (len(one.counts), sum(one.counts)) for one in found.histograms()}
    assert {"values": (4, 3), "binned": (2, 3), "many": (64, 100)} == bins
    cells = found.tables()["table"].to_pydict() if hasattr(found, "tables") else {}
    assert {"name": ["a", "b"], "score": [1.0, 0.5], "image": ["table/image/0", None]} == cells


@pytest.mark.parametrize(
    ("values", "pixel"),
    [
        (np.full((2, 2), 0.5), 127),
        (np.full((2, 2), -0.5), 63),
        (np.full((2, 2), 200.0), 200),
        (np.full((2, 2), 300), 255),
        (np.ones((2, 2), bool), 255),
    ],
)
def test_pixels(values: np.ndarray, pixel: int) -> None:
    """Floats within 0 and 1, or -1 and 1, are scaled; other numbers are cut."""
    assert {pixel} == set(wandb.Image(values)._data.ravel().tolist())


def test_a_picture_is_read_when_it_is_made(tmp_path: Path) -> None:
    """What happens to the array or to the file after that does not matter."""
    image_of = pytest.importorskip("PIL.Image")
    pixels = np.zeros((2, 2), np.uint8)
    path = tmp_path / "x.png"
    image_of.fromarray(pixels).save(path)
    of_array, of_file = wandb.Image(pixels), wandb.Image(str(path))
    pixels[:] = 255
    path.unlink()
    run = wandb.init(project="p")
    run.log({"array": of_array, "file": of_file})

    for item in ended(run).media():
        with image_of.open(io.BytesIO(Path(item.path).read_bytes())) as file:
            assert 0 == np.asarray(file).max()


def test_artifacts(tmp_path: Path) -> None:
    """Files and directories are kept by version; a later run of the project finds them."""
    (tmp_path / "data" / "sub").mkdir(parents=True)
    (tmp_path / "data" / "sub" / "x").write_text("x")
    (tmp_path / "model.pt").write_text("weights")
    run = wandb.init(project="p", name="first")
    artifact = wandb.Artifact("model", type="model", metadata={"acc": 0.5})
    artifact.add_file(str(tmp_path / "model.pt"))
    artifact.add_dir(str(tmp_path / "data"), "data")
    with artifact.new_file("made.json") as file:
        json.dump([1], file)
    artifact.add(wandb.Table(columns=["a"], data=[[1]]), "scores")
    run.log_artifact(artifact, aliases=["best"])
    run.log_artifact(str(tmp_path / "model.pt"), name="model", type="model")
    first = ended(run)
    home = Path(first.path) / "artifacts" / "model" / "v0"
    assert "x" == (home / "data" / "sub" / "x").read_text()

    other = wandb.init(project="p", name="second")
    used = other.use_artifact("model:best")
    assert ("v0", {"acc": 0.5}, ["best"]) == (used.version, used.metadata, used.aliases)
    assert str(home) == used.download().rstrip("/")
    assert "v1" == wandb.use_artifact("entity/p/model:latest").version
    assert "weights" == Path(wandb.use_artifact("model:v1").file()).read_text()
    with pytest.raises(wandb.CommError, match=r"no run in .* has an artifact 'nothing:v0'"):
        other.use_artifact("nothing:v0")


def test_saved_files(tmp_path: Path) -> None:
    """They are kept as they are, and once more at the end if they have changed."""
    path = tmp_path / "out" / "model.pt"
    path.parent.mkdir()
    path.write_text("one")
    run = wandb.init(project="p")
    assert [str(path)] == wandb.save(str(tmp_path / "out" / "*.pt"))
    wandb.save(str(path), base_path=str(tmp_path), policy="now")
    path.write_text("two, longer")
    (tmp_path / "out" / "late.pt").write_text("late")
    home = Path(ended(run).path) / "artifacts"

    assert ("two, longer", "late") == (
        (home / "model.pt").read_text(),
        (home / "late.pt").read_text(),
    )


class Parameter:
    """What `watch` needs of a parameter of torch."""

    requires_grad, is_sparse = True, False

    def __init__(self) -> None:
        self.hooks: list[Callable[[Any], None]] = []

    def register_hook(self, hook: Callable[[Any], None]) -> Parameter:
        self.hooks.append(hook)
        return self

    def remove(self) -> None:
        self.hooks.clear()

    def detach(self) -> np.ndarray:
        return np.arange(4.0)


class Model(Parameter):
    """What `watch` needs of a model of torch."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = Parameter()
        self.register_forward_hook = self.register_hook

    def named_parameters(self) -> list[tuple[str, Parameter]]:
        return [("weight", self.weight)]


def test_watch() -> None:
    """Each log_freq-th pass makes a histogram of each gradient and parameter, until unwatch()."""
    run, model = wandb.init(project="p"), Model()
    wandb.watch(model, log="all", log_freq=2)
    with pytest.raises(wandb.UsageError, match="watched already"):
        wandb.watch(model)
    for step in range(5):
        for hook in (*model.hooks, *model.weight.hooks):
            hook(Parameter())
        run.log({"loss": 1.0}, step=step)
    wandb.unwatch(model)
    assert [] == model.hooks == model.weight.hooks
    found = ended(run).histograms()

    expected = [("parameters/weight", 0), ("gradients/weight", 0)]
    expected += [("parameters/weight", 2), ("gradients/weight", 2)]
    assert expected == [(one.tag, one.step) for one in found]


def test_alerts() -> None:
    """They are lines of run.log; one title comes again only after a while."""
    run = wandb.init(project="p")
    wandb.alert("low", "accuracy", level=wandb.AlertLevel.WARN)
    wandb.alert("low", "accuracy")
    wandb.alert("low", "again", wait_duration=0)
    found = ended(run)

    assert ["alert: low: accuracy", "alert: low: again"] == lines(found)
    assert ["WARN", "INFO"] == [entry.level for entry in found.log()]


def test_nothing_is_recorded(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """mode="disabled", by argument or variable: every call works, and no run is made."""
    monkeypatch.setenv("WANDB_MODE", "disabled")
    with wandb.init(project="p", config={"lr": 1}) as run:
        wandb.log({"loss": 1.0, "image": wandb.Image(np.zeros((2, 2)))})
        wandb.save("nothing")
        wandb.watch(Model())
        wandb.alert("x")
        assert (1.0, 1, 1) == (run.summary["loss"], run.config.lr, run.step)
    assert (None, False) == (wandb.run, base.exists())


def test_environment(base: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """wandb's variables count where there is no argument."""
    for name, value in {
        "WANDB_PROJECT": "other",
        "WANDB_NAME": "named",
        "WANDB_TAGS": "a, b",
        "WANDB_RUN_GROUP": "g",
        "WANDB_NOTES": "text",
        "WANDB_DIR": str(tmp_path / "place"),
        "WANDB_RUN_ID": "id1",
    }.items():
        monkeypatch.setenv(name, value)
    run = wandb.init(name="argument")
    found = ended(run)

    assert str(tmp_path / "place" / "other" / "argument") == found.path
    assert (["a", "b"], "g", "text") == (
        found.metadata.tags,
        found.metadata.group,
        found.metadata.description,
    )
    assert ("id1", {"id": "id1"}) == (run.id, found.scalars)


def test_a_second_init() -> None:
    """It returns the run that is there, or ends it, or leaves it, as `reinit` says."""
    first = wandb.init(project="p")
    assert first is wandb.init(project="other", config={"a": 1})
    assert 1 == first.config.a
    second = wandb.init(project="p", reinit="create_new")
    first.log({"a": 1})
    assert not first.has_ended
    third = wandb.init(project="p", reinit=True)
    assert (False, True, False) == (first.has_ended, second.has_ended, third.has_ended)
    first.finish()


def test_how_it_ends() -> None:
    """An exit code and an exception make it FAILED; a call after the end raises."""
    run = wandb.init(project="p", name="code")
    run.finish(exit_code=3)
    assert (RunStatus.FAILED, "exit code 3") == (
        Run(str(run.run_dir)).status,
        Run(str(run.run_dir)).metadata.reason,
    )
    with pytest.raises(wandb.UsageError, match=r"the run has ended: log\(\) is too late"):
        run.log({"a": 1})
    with pytest.raises(wandb.UsageError, match=r"call wandb\.init\(\) before wandb\.log\(\)"):
        wandb.log({"a": 1})
    with pytest.raises(ValueError, match="odd"), wandb.init(project="p", name="raised") as other:
        raise ValueError("odd")
    assert "ValueError: odd" == Run(str(other.run_dir)).metadata.reason


@pytest.mark.parametrize(
    "call",
    [
        lambda: wandb.sweep({}),
        lambda: wandb.Api().runs("p"),
        lambda: wandb.sklearn.plot_roc(),
        lambda: wandb.plot.roc_curve([], []),
        lambda: wandb.init(project="p", fork_from="x"),
        lambda: wandb.init(project="p").restore("x"),
    ],
)
def test_what_is_not_there(call: Callable[[], object]) -> None:
    """It raises at the call, says why, and what to use instead."""
    with pytest.raises(NotImplementedError, match=r"is not there: .*\. Instead: "):
        call()


def test_a_name_that_wandb_does_not_have() -> None:
    """It is an AttributeError as of any module; what is not there is no instance of anything."""
    with pytest.raises(AttributeError, match="did you mean 'log'"):
        wandb.logg  # noqa: B018
    assert not isinstance(3, wandb.Object3D)


@pytest.mark.parametrize("resume", ["allow", "must", True, "auto"])
def test_resume(resume: object) -> None:
    """A run of that id goes on: steps, parameters and summary where they were, nothing is lost."""
    first = wandb.init(project="p", id="x", name="shown", resume="allow", config={"lr": 1, "n": 2})
    assert (False, 0, "shown") == (first.resumed, first.step, first.name)
    for value in (1.0, 2.0):
        first.log({"loss": value})
    first.summary["best"] = 0.5
    first.finish()
    second = wandb.init(project="p", id="x", resume=resume, config={"lr": 3})  # type: ignore[arg-type]
    assert (True, 2, 2) == (second.resumed, second.step, second.starting_step)
    assert {"lr": 3, "n": 2} == dict(second.config)
    assert {"loss": 2.0, "best": 0.5} == dict(second.summary)
    second.log({"loss": 3.0})
    found = ended(second)

    assert "x" == found.name
    assert [(0, 1.0), (1, 2.0), (2, 3.0)] == rows(found, "step", "loss")
    assert 2 == len(found.attempts)
    assert {"lr": 3, "n": 2} == found.config


def test_resume_from_a_step() -> None:
    """Rows after that step are superseded."""
    first = wandb.init(project="p", id="x", resume="allow")
    for value in range(4):
        first.log({"loss": value})
    first.finish()
    second = wandb.init(project="p", resume_from="x?_step=1")
    assert ("x", 2) == (second.id, second.step)
    second.log({"loss": 20})
    found = ended(second)

    assert [(0, 0), (1, 1), (2, 20)] == rows(found, "step", "loss")
    assert [2, 3] == found.superseded()["step"].to_pylist()
    with pytest.raises(wandb.UsageError, match=r"must be ID\?_step=NUMBER"):
        wandb.init(project="p", resume_from="x")


def test_resume_of_nothing() -> None:
    """Where there must be a run, one that is not there is refused; "never" begins another one."""
    with pytest.raises(expman.ExpmanError, match="it does not exist"):
        wandb.init(project="p", id="x", resume="must")
    assert ["x", "x-1"] == [
        ended(wandb.init(project="p", id="x", resume="never")).name for _ in range(2)
    ]
    with pytest.raises(wandb.UsageError, match="resume 'odd' must be allow, must, never or auto"):
        wandb.init(project="p", id="x", resume="odd")


def test_what_has_no_meaning() -> None:
    """run.log names it."""
    run = wandb.init(project="p", entity="me", settings=wandb.Settings(start_method="fork"))

    assert ["wandb.init: without meaning here: settings.start_method, entity"] == lines(ended(run))


def test_expmans_own_calls_mean_the_same_run() -> None:
    """What wandb has no call for can be logged beside it."""
    run = wandb.init(project="p")
    expman.log_scalar("more", 1)

    assert {"more": 1} == ended(run).scalars


def test_it_is_light(program: StartProgram, base: Path) -> None:
    """A run that logs numbers imports neither pyarrow nor yaml nor numpy."""
    code = (
        "import sys; import expman.compat.wandb as wandb\n"
        "wandb.init(project='p', config={'lr': 1}); wandb.log({'loss': 1.0}); wandb.finish()\n"
        "print(sorted({'numpy', 'pyarrow', 'yaml'} & set(sys.modules)))"
    )
    assert "[]\n" == program(["-c", code], env={"EXPMAN_BASE_DIR": str(base)}).succeed()


def test_a_run_in_another_process(program: StartProgram) -> None:
    """A pickled run logs to the same one from there; a forked child's wandb.log does, too."""
    run = wandb.init(project="p", config={"lr": 1})
    run.log({"a": 1})
    code = "import pickle, sys; run = pickle.load(open(sys.argv[1], 'rb')); "
    code += "assert (1, 1) == (run.config.lr, run.step); run.log({'b': 2})"
    path = Path(run.dir) / "run.pickle"
    path.write_bytes(pickle.dumps(run))
    program(["-c", code, str(path)]).succeed()
    if not (child := os.fork()):
        wandb.log({"b": 3})
        os._exit(0)
    assert 0 == os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    found = ended(run)

    assert {(0, 1, None), (1, None, 2), (1, None, 3)} == set(rows(found, "step", "a", "b"))


def test_event_writers_are_mirrored(tmp_path: Path) -> None:
    """With sync_tensorboard=True, what tensorboardX gets is in the run, once; until it ends."""
    pytest.importorskip("tensorboardX")
    from tensorboardX import SummaryWriter

    run = wandb.init(project="p", sync_tensorboard=True)
    with SummaryWriter(str(tmp_path / "events")) as writer:
        writer.add_scalar("loss", 0.5, 3)
        writer.add_hparams({"lr": 0.1}, {"acc": 0.9})
        found = ended(run)
        writer.add_scalar("loss", 0.25, 4)

    assert [(3, 0.5, None), (None, None, 0.9)] == rows(found, "step", "loss", "acc")
    assert {"lr": 0.1} == found.config


def test_a_program_without_finish(program: StartProgram, base: Path) -> None:
    """kill -9 loses no row that was logged; the end of a program keeps files that have changed."""
    code = (
        "import os, signal, sys; import expman.compat.wandb as wandb\n"
        "wandb.init(project='p', name=sys.argv[1])\n"
        "open('f', 'w').write('1'); wandb.save('f'); open('f', 'w').write('22')\n"
        "for i in range(100): wandb.log({'i': i}, commit=i % 2 == 0)\n"
        "if sys.argv[1] == 'killed': os.kill(os.getpid(), signal.SIGKILL)\n"
        "sys.exit(3)\n"
    )
    for name in ("killed", "exited"):
        program(["-c", code, name], env={"EXPMAN_BASE_DIR": str(base)}).wait()
    expman_runs = {run.name: run for run in expman.runs(str(base))}

    assert list(range(100)) == expman_runs["exited"].vectors(["i"])["i"].to_pylist()
    assert list(range(100)) == expman_runs["killed"].vectors(["i"])["i"].to_pylist()
    assert RunStatus.FAILED == expman_runs["exited"].status
    assert "22" == (Path(expman_runs["exited"].path) / "artifacts" / "f").read_text()


# Public names of wandb 0.31, of a run and of an artifact of it.
MODULE = """
AlertLevel Api Artifact ArtifactTTL Audio Classes CommError Config Error EvalTable Graph
Histogram Html Image JoinedTable Molecule Object3D Plotly Run Settings Table UsageError Video
agent agents alert analytics api apis attach box3d catboost controller data_types
define_metric ensure_configured env errors finish gym helper init integration join jupyter
keras lightgbm link_model log log_artifact log_model login mark_preempting patched
pin_config_keys plot plot_table profiler proto require restore sacred sagemaker_auth save sdk
setup sklearn summary sweep teardown tensorboard tensorflow termerror termlog termsetup
termwarn trigger unwatch use_artifact use_model util visualize wandb wandb_agent wandb_lib
wandb_sdk wandb_torch watch xgboost run config
"""
OF_RUN = """
alert config config_static define_metric dir disabled display entity finish finish_artifact
group id job_type link_artifact link_model log log_artifact log_code log_model mark_preempting
name notes offline path pin_config_keys project project_url restore resumed save settings
start_time starting_step status step summary sweep_id sweep_url sync_dir tags to_html unwatch
upsert_artifact url use_artifact use_model watch write_logs
"""
OF_ARTIFACT = """
add add_dir add_file add_reference aliases delete description download file file_count files
finalize get get_entry get_path link logged_by metadata name new_file remove save size type
used_by verify version wait
"""


def test_every_name_is_there() -> None:
    """Whatever wandb, a run and an artifact have is there: it works, or a call says why not."""
    run = wandb.init(project="p")
    places = ((wandb, MODULE), (run, OF_RUN), (wandb.Artifact("a", "b"), OF_ARTIFACT))

    for place, names in places:
        assert [] == [name for name in names.split() if not hasattr(place, name)]
    with pytest.raises(NotImplementedError, match=r"wandb\.Artifact\.delete is not there"):
        wandb.Artifact("a", "b").delete()


class Plot:
    """What plotly's figures have."""

    def to_plotly_json(self) -> dict[str, object]:
        return {}

    def to_html(self, include_plotlyjs: str) -> str:
        return "<p>plot</p>"


def test_figures() -> None:
    """Those of plotly are pages, those of matplotlib, pyplot itself among them, are pictures."""
    pyplot = pytest.importorskip("matplotlib.pyplot")
    run = wandb.init(project="p")
    pyplot.figure(figsize=(1, 1))
    run.log({"mpl": pyplot, "plotly": Plot(), "wrapped": wandb.Image(pyplot.gcf())})
    pyplot.close("all")
    files = {item.tag: item.file.rpartition(".")[2] for item in ended(run).media()}

    assert {"mpl": "png", "plotly": "html", "wrapped": "png"} == files


@pytest.mark.torch
def test_watch_a_model_of_torch() -> None:
    """Gradients and parameters of a real model, as many passes as there were."""
    import torch

    run = wandb.init(project="p")
    model = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Linear(4, 1))
    wandb.watch(model, log="all", log_freq=2)
    for step in range(4):
        loss = model(torch.ones(2, 3)).sum()
        loss.backward()
        run.log({"loss": loss, "image": wandb.Image(torch.rand(3, 4, 6))}, step=step)
    wandb.unwatch()
    model(torch.ones(2, 3)).sum().backward()
    found = ended(run)

    names = [f"{number}.{kind}" for number in (0, 1) for kind in ("weight", "bias")]
    expected = {
        (f"{what}/{name}", step)
        for what in ("gradients", "parameters")
        for name in names
        for step in (0, 2)  # as in wandb: the step of the last log(), until there is another one
    }
    assert expected == {(one.tag, one.step) for one in found.histograms()}
    assert 4 == len(found.media())
    assert 4 == found.vectors(["loss"]).num_rows
