"""The table of settings: everything that takes settings agrees with it; where values come from."""

from __future__ import annotations

import ast
import inspect
import os
import re
from pathlib import Path
from typing import Any, get_args

import msgspec
import pytest
from run_files import run_yaml

import expman
from expman import ConfigError, Experiment, ExperimentConfig, interpreter, models
from expman.launch import shared
from expman.metadata import RunMetadata
from expman.setting import IntDefault, Setting, TextDefault, TupleDefault
from expman.settings import SETTINGS
from expman.transport.hello import Hello
from expman.transport.settings import _SAME

EMPTY = inspect.Parameter.empty
ALL = list(SETTINGS.values())
IN_VARIABLES = [setting for setting in ALL if setting.variable and not setting.late]
each_variable = pytest.mark.parametrize("setting", IN_VARIABLES, ids=lambda setting: setting.name)

# name -> text of the variable, its value, another value as an argument.
SAMPLES: dict[str, tuple[str, Any, Any]] = {
    "name": ("mnist", "mnist", "cifar"),
    "run_name": ("first", "first", "second"),
    "base_dir": ("/data", "/data", "/other"),
    "flush_interval_rows": ("7", 7, 50),
    "flush_interval_ms": ("9", 9, 500),
    "redirect_console": ("1", True, False),
    "hang_after_s": ("9", 9, 300),
    "mirror": ("s3://bucket/x", "s3://bucket/x", "gs://bucket/y"),
    "project": ("p", "p", "q"),
    "description": ("d", "d", "e"),
    "group": ("g", "g", "h"),
    "rank": ("3", 3, 0),
    "suffix_if_taken": ("no", False, True),
    "max_buffer_bytes": ("1048576", 2**20, 64 * 2**20),
    "overflow": ("drop", "drop", "block"),
    "quiet": ("1", True, False),
    "resume": ("allow", "allow", "must"),
    "from_step": ("7", 7, 0),
    "heartbeat_interval_secs": ("7", 7, 30),
    "system_metrics_interval_secs": ("3", 3, 0),
    "capture_provenance": ("1", True, False),
    "capture_diff": ("yes", True, False),
}
BAD = {
    "name": "a/b",
    "run_name": "..",
    "base_dir": None,
    "flush_interval_rows": "many",
    "flush_interval_ms": "0",
    "mirror": "bucket/x",
    "rank": "-1",
    "suffix_if_taken": "maybe",
    "max_buffer_bytes": "1",
    "overflow": "wait",
    "quiet": "2",
    "resume": "maybe",
    "from_step": "-1",
    "heartbeat_interval_secs": "0",
    "system_metrics_interval_secs": "-1",
    "capture_provenance": "2",
    "capture_diff": "both",
}


@pytest.fixture(autouse=True)
def no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test starts without any of the variables."""
    for setting in ALL:
        if setting.variable:
            monkeypatch.delenv(setting.variable, raising=False)


def made(**given: Any) -> ExperimentConfig:
    return ExperimentConfig(**{"name": "exp", **given})


def parameters(function: Any) -> dict[str, inspect.Parameter]:
    found = dict(inspect.signature(function, eval_str=True).parameters)
    found.pop("self", None)
    return found


def same(left: Any, right: Any) -> bool:
    return type(left) is type(right) and left == right


def test_the_config_agrees_with_the_table() -> None:
    """ExperimentConfig has the available settings, with the defaults of the table."""
    found = {field.name: field for field in msgspec.structs.fields(ExperimentConfig)}
    assert {setting.name for setting in ALL} == set(found)
    assert [] == [s.name for s in ALL if not same(s.default, found[s.name].default)]


@pytest.mark.parametrize("function", [Experiment.__init__, expman.init], ids=["class", "init"])
def test_the_arguments_agree_with_the_table(function: Any) -> None:
    """Experiment and init have every setting in its place with its default, and `config`."""
    found = parameters(function)
    assert None is found.pop("config").default
    placed = sorted((s for s in ALL if s.place is not None), key=lambda s: s.place or 0)
    assert list(range(len(placed))) == [setting.place for setting in placed]
    by_name = [setting for setting in ALL if setting.place is None]
    assert [s.name for s in (*placed, *by_name)] == list(found)
    for setting in ALL:
        parameter = found[setting.name]
        assert same(setting.default, parameter.default), setting.name
        by_position = parameter.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD
        assert (setting.place is not None) == by_position


def test_types_are_those_of_the_table() -> None:
    """What an editor shows and what the reference shows are the same type, but for None."""
    tree = ast.parse(inspect.getsource(expman.experiment) + inspect.getsource(expman.functions))
    for node in ast.walk(tree):
        if not isinstance(node, ast.FunctionDef) or node.name not in ("__init__", "init"):
            continue
        for argument in (*node.args.args, *node.args.kwonlyargs):
            if argument.arg in SETTINGS and argument.annotation is not None:
                text = ast.unparse(argument.annotation).replace("'", '"')
                assert SETTINGS[argument.arg].type == text.removesuffix(" | None")
    for field in msgspec.structs.fields(ExperimentConfig):
        first = re.split(r"\W", SETTINGS[field.name].type)[0]
        if first not in ("Literal", "Sequence"):
            assert first in [kind.__name__ for kind in get_args(field.type) or (field.type,)]


def test_every_setting_is_explained() -> None:
    """The docstrings of ExperimentConfig and Experiment name each of theirs; the table, too."""
    assert [] == [s.name for s in ALL if f"        {s.name}: " not in (Experiment.__doc__ or "")]
    config = ExperimentConfig.__doc__ or ""
    assert [] == [s.name for s in ALL if f"        {s.name}: " not in config]
    assert [] == [s.name for s in ALL if not s.meaning.endswith(".")]


def test_what_is_recorded_is_there() -> None:
    """Where the table names a key of run.yaml, there is one, and the hello brings it."""
    for setting in ALL:
        key = re.match(r"run\.yaml: (\w+)", setting.recorded)
        if key:
            assert key[1] in RunMetadata.__struct_fields__
    carried = {
        *Hello.__struct_fields__,
        *("name", "writer", "python", "quiet", "suffix_if_taken", "resume", "from_step"),
    }
    assert set() == {setting.name for setting in ALL} - carried
    for name in _SAME:
        default = SETTINGS[name].default
        if name not in ("language", "env_path"):
            fields = {field.name: field.default for field in msgspec.structs.fields(Hello)}
            assert default == fields[name]


def test_variables_have_one_name() -> None:
    """EXPMAN_ and one name for each setting; the launcher reads those that it uses itself."""
    variables = [setting.variable for setting in ALL if setting.variable]
    assert len(set(variables)) == len(variables)
    assert all(re.fullmatch(r"EXPMAN_[A-Z_]+", variable) for variable in variables)
    assert SETTINGS["writer"].variable == shared.VARIABLE
    assert SETTINGS["python"].variable == interpreter.VARIABLE
    of_expman_rs = {"BASE_DIR", "PROJECT", "EXPERIMENT", "TAGS", "RANK", "GROUP", "RUN_NAME"}
    assert {f"EXPMAN_{name}" for name in of_expman_rs} <= set(variables)
    assert set(SAMPLES) | {"tags"} == {setting.name for setting in IN_VARIABLES}


@each_variable
def test_argument_before_variable_before_default(
    setting: Setting, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where the argument is what the default would be; an empty variable is none."""
    if setting.name == "tags":
        return  # see below: they are put together
    assert setting.variable
    text, value, other = SAMPLES[setting.name]
    given = {} if setting.name == "name" else {"name": "exp"}
    if setting.name == "resume":
        given["run_name"] = "run"
    monkeypatch.setenv(setting.variable, text)
    assert value == getattr(ExperimentConfig(**given), setting.name)
    assert other == getattr(ExperimentConfig(**{**given, setting.name: other}), setting.name)
    monkeypatch.setenv(setting.variable, "")
    if setting.name != "name":
        left_out = getattr(made(), setting.name)
        monkeypatch.delenv(setting.variable)
        if setting.name != "run_name":  # the time
            assert left_out == getattr(made(), setting.name)


@pytest.mark.parametrize("name", [name for name, text in BAD.items() if text])
def test_a_bad_variable_is_named(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error has the variable's name, its text and the rule."""
    variable = SETTINGS[name].variable
    assert variable
    monkeypatch.setenv(variable, str(BAD[name]))
    with pytest.raises(ConfigError, match=rf"^{variable}='?{BAD[name]}'?: must ") as caught:
        ExperimentConfig(**({} if name == "name" else {"name": "exp"}))
    assert variable == caught.value.setting


def test_tags_of_a_sweep_and_of_the_script(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in expman-rs: the variable's come first, none twice, and none is lost."""
    monkeypatch.setenv("EXPMAN_TAGS", "lr:0.1, study,,")
    assert ("lr:0.1", "study") == made().tags
    assert ("lr:0.1", "study", "mine") == made(tags=["mine", "study"]).tags
    again = msgspec.structs.replace(made(tags=["mine"]), run_name="other")
    assert ("lr:0.1", "study", "mine") == again.tags


def test_no_name_at_all() -> None:
    """The error says which variable may have it."""
    with pytest.raises(ConfigError, match=r"pass the experiment's name, .* set EXPMAN_EXPERIMENT"):
        ExperimentConfig()


def test_a_default_is_plain_once_it_counts() -> None:
    """No marked default stays in a config: pickling and encoding see plain values."""
    marked = (IntDefault, TextDefault, TupleDefault)
    assert [] == [v for v in msgspec.structs.asdict(made()).values() if isinstance(v, marked)]
    assert isinstance(models.settings.BASE_DIR, str)


def test_a_run_of_a_sweep(run_base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """expman-rs's variables reach the files, without a word in the script."""
    for name, text in {
        "BASE_DIR": str(run_base),
        "PROJECT": "vision",
        "EXPERIMENT": "digits",
        "TAGS": "lr:0.1,sweep",
        "RANK": "2",
        "GROUP": "study-1",
        "RUN_NAME": "trial",
    }.items():
        monkeypatch.setenv(f"EXPMAN_{name}", text)
    with Experiment() as run:
        pass
    assert os.path.join(run_base, "digits", "trial-rank2") == run.run_dir
    expected = {
        "project": "vision",
        "experiment": "digits",
        "tags": ["lr:0.1", "sweep"],
        "rank": 2,
        "group": "study-1",
        "name": "trial-rank2",
    }
    found = run_yaml(run.run_dir)
    assert expected == {key: found[key] for key in expected}


@pytest.mark.parametrize("name", ["flush_interval_rows", "rank", "max_buffer_bytes"])
def test_a_number_that_no_record_holds_is_refused(name: str) -> None:
    """Also at the greatest one that the records and the columns hold, the rule is named."""
    assert 2**63 - 1 == getattr(made(**{name: 2**63 - 1}), name)
    with pytest.raises(ConfigError, match=f"^{name}=9223372036854775808: must not be greater"):
        made(**{name: 2**63})


@pytest.mark.parametrize(
    ("given", "meant"), [("wrap", True), ("fd", "fd"), (True, True), (False, False)]
)
def test_ways_to_record_the_console(given: object, meant: object) -> None:
    """ "wrap" means the same as True."""
    assert same(meant, made(redirect_console=given).redirect_console)


@pytest.mark.parametrize("given", ["pty", 1, ""])
def test_no_way_to_record_the_console(given: object) -> None:
    """Anything else is refused with the words that it may be."""
    with pytest.raises(ConfigError, match='"wrap"'):
        made(redirect_console=given)
