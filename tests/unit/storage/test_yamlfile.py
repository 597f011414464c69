"""YAML: the same values come back, in every reader; what is hostile is refused."""

from __future__ import annotations

import datetime
import math
import os
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from expman import ExperimentMetadata, RunMetadata, RunStatus, StorageError
from expman.storage import yamlfile
from expman.storage.configfile import merge_params
from expman.storage.experiment_file import create_experiment
from expman.storage.yamlfile import RunFile, read_yaml, write_yaml

HOSTILE = [
    *("no", "yes", "on", "off", "y", "N", "true", "False", "null", "Null", "~", ""),
    *("1e5", "1E5", "1.0", "1.", ".5", "+1", "-1", "0o7", "0x1F", "0b11", "010", "1_000", "1:30"),
    *(".nan", ".NaN", ".inf", "-.INF", "nan", "inf", "Infinity", "1e400", "12e03"),
    *("2026-01-01", "2026-01-01T12:00:00Z", "2026-01-01 12:00:00", "20260131_120000"),
    *("<<", "=", "&a", "*a", "!x", "!!python/object:os.system", "%YAML", "---", "..."),
    *("685.230_15e+03", "- a", "? a", "a: b", "a #b", "#a", "[a]", "{a: b}", "'a", '"a'),
    *("a\\b", "|", ">", "@a", "`a", ": a", "a:"),
    *(" a", "a ", "\ta", "a\n", "\na", "a\nb", "a\r\nb", "a\tb", "\n", " ", "\u2028", "\x85"),
    *("\0", "\x1b[2J", "\x7f", "\ufeff", "\ufffe", "größe", "日本", "🎉", "x" * 500),
]
# What the core schema of YAML 1.2 (and serde_yaml) reads as something else than text.
YAML_1_2 = re.compile(
    r"~|null|Null|NULL|true|True|TRUE|false|False|FALSE|[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+"
    r"|0b[01]+|[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?"
    r"|[-+]?(\.inf|\.Inf|\.INF)|\.nan|\.NaN|\.NAN|"
)

scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**80), 2**80)
    | st.floats()
    | st.sampled_from(HOSTILE)
    | st.text(st.characters(exclude_categories=["Cs"]))
    | st.dates()
    | st.datetimes()
)
keys = st.sampled_from(HOSTILE) | st.text(st.characters(exclude_categories=["Cs"]))
trees = st.recursive(
    scalars,
    lambda below: st.lists(below, max_size=4) | st.dictionaries(keys, below, max_size=4),
    max_leaves=15,
)


def same(left: Any, right: Any) -> bool:
    """Equal, of one type, at every depth; NaN is NaN and -0.0 is not 0.0."""
    if type(left) is not type(right):
        return False
    if isinstance(left, dict):
        return list(left) == list(right) and all(same(left[key], right[key]) for key in left)
    if isinstance(left, list):
        return len(left) == len(right) and all(map(same, left, right))
    if isinstance(left, float):
        return repr(left) == repr(right)
    return bool(left == right)


@given(values=st.dictionaries(keys, trees, max_size=5))
@example(values={text: text for text in HOSTILE})
@example(values={"f": [1e-05, 1e22, -0.0, 5e-324, math.nan, math.inf, -math.inf, 1e16, 123456.0]})
@example(values={"shared": [[1, 2]] * 3})
def test_round_trip(tmp_path_factory: pytest.TempPathFactory, values: dict[str, Any]) -> None:
    """What is written comes back the same, from our reader and from yaml.safe_load."""
    path = str(tmp_path_factory.getbasetemp() / "round-trip.yaml")
    write_yaml(path, values)
    text = Path(path).read_bytes()
    assert same(values, read_yaml(path))
    assert same(values, yaml.safe_load(text))
    assert same(values, yaml.load(text, Loader=yaml.SafeLoader))


@pytest.mark.parametrize("text", HOSTILE)
def test_text_is_text_in_yaml_1_2(tmp_path: Path, text: str) -> None:
    """As a value and as a key, it stands in quotes if a YAML 1.2 reader would see anything else."""
    path = tmp_path / "a.yaml"
    write_yaml(str(path), {"k": text, "list": [text]})
    for line in path.read_text().splitlines():
        plain = line.removeprefix("k: ").removeprefix("- ")
        if plain != line:
            assert not YAML_1_2.fullmatch(plain), line
    write_yaml(str(path), {text: 0})
    for line in path.read_text().splitlines():
        plain = line.removesuffix(": 0")
        if plain not in (line, ""):  # "" ends a key of several lines, which has quotes or a mark
            assert not YAML_1_2.fullmatch(plain), line


@pytest.mark.parametrize(
    ("value", "expected"),
    [(1e-05, "1.0e-05"), (1e22, "1.0e+22"), (2.0, "2.0"), (math.nan, ".nan"), (-math.inf, "-.inf")],
)
def test_a_float_is_a_float_everywhere(tmp_path: Path, value: float, expected: str) -> None:
    """It has a dot and a signed exponent: YAML 1.1 would take 1e-05 for text."""
    write_yaml(str(tmp_path / "a.yaml"), {"x": value})
    assert f"x: {expected}\n" == (tmp_path / "a.yaml").read_text()


def test_lone_surrogates_become_escapes(tmp_path: Path) -> None:
    """Text that UTF-8 cannot hold costs its odd characters, nothing else."""
    path = str(tmp_path / "a.yaml")
    write_yaml(path, {"a\ud800": "b\udc80", "n": ["\udfff"]})
    assert {"a\\ud800": "b\\udc80", "n": ["\\udfff"]} == read_yaml(path)


def test_a_value_that_is_used_twice_has_no_alias(tmp_path: Path) -> None:
    """Aliases are what bombs are made of, so none is written."""
    shared = {"a": [1.0]}
    path = tmp_path / "a.yaml"
    write_yaml(str(path), {"one": shared, "two": shared})
    assert not re.search(r"[&*]", path.read_text())
    assert {"one": shared, "two": shared} == read_yaml(str(path))


def bomb(levels: int = 9) -> str:
    lines = ["a0: &a0 [lol, lol, lol, lol, lol, lol, lol, lol, lol]"]
    for level in range(1, levels):
        lines.append(f"a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * 9)}]")
    return "\n".join(lines)


@pytest.mark.parametrize(
    ("text", "detail"),
    [
        (bomb(), "contains an alias"),
        ("a: &a [1]\nb: *a", "contains an alias"),
        ("a: &a {b: 1}\nc: {<<: *a}", "contains an alias"),
        ("a: &a [*a]", "contains an alias"),
        ("a: " + "[" * 101 + "]" * 101 + " " * 4096, "nested deeper than 100"),
        ("a: " + "[" * 1500 + "]" * 1500, "nested deeper than 100"),
        ("a:\n " + "- " * 1500 + "b", "nested deeper than 100"),
        ("? " * 1500 + "b", "nested deeper than 100"),
        ("\n".join(" " * depth + "a:" for depth in range(101)), "nested deeper than 100"),
        ("a: " + "{b: " * 2000 + "1" + "}" * 2000, "nested deeper than 100"),
        ("[" * 100_000, "nested deeper than 100"),
        ("- a\n- b", "holds a list, expected a mapping"),
        ("text", "holds a str, expected a mapping"),
        ("a: !!python/object/apply:os.system ['true']", "is not valid YAML"),
        ("a: !custom 1", "is not valid YAML"),
        ("a: [1", "is not valid YAML"),
        ("a: b: c", "is not valid YAML"),
        ("a: 1\n--- \nb: 2", "is not valid YAML"),
        ("a: 2026-13-45", "is not valid YAML"),
        ("a: \udcff", "is not valid YAML"),
        ("\0", "is not valid YAML"),
        ("? [a]\n: 1", "is not valid YAML"),
        ("? {a: 1}\n: 1", "is not valid YAML"),
    ],
)
def test_what_is_hostile_or_damaged_is_refused(tmp_path: Path, text: str, detail: str) -> None:
    """The error names the file and what is wrong with it; nothing is expanded or run."""
    path = tmp_path / "a.yaml"
    path.write_bytes(os.fsencode(text))
    with pytest.raises(StorageError) as caught:
        read_yaml(str(path))
    assert str(path) == caught.value.path
    assert detail in caught.value.detail


def test_a_file_that_is_too_large_is_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The limit is checked before parsing."""
    monkeypatch.setattr(yamlfile, "MAX_YAML_BYTES", 10)
    (tmp_path / "a.yaml").write_text("key: value")
    assert {"key": "value"} == read_yaml(str(tmp_path / "a.yaml"))
    (tmp_path / "a.yaml").write_text("key: values")
    with pytest.raises(StorageError, match="larger than 10 bytes"):
        read_yaml(str(tmp_path / "a.yaml"))


def test_other_keys_than_text_are_read_as_text(tmp_path: Path) -> None:
    """A file edited by hand may have a number, a date or a word of YAML 1.1 as a key."""
    (tmp_path / "a.yaml").write_text("1: a\nno: b\n2026-01-01: c\n")
    assert {"1": "a", "no": "b", "2026-01-01": "c"} == read_yaml(str(tmp_path / "a.yaml"))


def test_an_absent_file_is_an_error_an_empty_one_is_not(tmp_path: Path) -> None:
    """Both are said plainly."""
    with pytest.raises(StorageError, match="No such file"):
        read_yaml(str(tmp_path / "absent.yaml"))
    (tmp_path / "empty.yaml").write_text("# nothing\n")
    assert {} == read_yaml(str(tmp_path / "empty.yaml"))


@pytest.mark.parametrize("value", [object(), b"x".join, complex(1, 2)])
def test_what_yaml_cannot_express_is_an_error(tmp_path: Path, value: object) -> None:
    """The file stays as it was."""
    path = tmp_path / "a.yaml"
    write_yaml(str(path), {"a": 1})
    with pytest.raises(StorageError, match="cannot be expressed as YAML"):
        write_yaml(str(path), {"a": value})
    assert {"a": 1} == read_yaml(str(path))


def full_metadata() -> RunMetadata:
    return RunMetadata(
        name="no",
        experiment="1e5",
        status=RunStatus.FAILED,
        reason="ValueError: a: b\n#",
        started_at="2026-01-31T12:00:00.000000Z",
        finished_at="2026-01-31T12:00:01.000000Z",
        duration_secs=1.0,
        description="",
        tags=["yes", "a"],
        scalars={"i": 2**63 - 1, "big": 2**64 - 1, "b": True, "f": 1e-05, "t": "0o7"},
        vectors={"nan": math.inf, "step": -0.0},
        language="python",
        env_path="/usr/bin/python3",
        rows_logged=3,
        rows_written=2,
        rows_dropped=1,
        writer_restarts=4,
    )


def test_run_yaml_round_trip(tmp_path: Path) -> None:
    """Each field comes back with its type, and the file says the status as a word."""
    file = RunFile(str(tmp_path))
    file.write(full_metadata())
    assert full_metadata() == file.read()
    found = yaml.safe_load((tmp_path / "run.yaml").read_text())
    assert ("FAILED", 2**63 - 1, True) == (
        found["status"],
        found["scalars"]["i"],
        found["scalars"]["b"],
    )


def test_run_yaml_has_the_keys_of_expman_rs_first(tmp_path: Path) -> None:
    """In its order, null where there is nothing; ours follow."""
    RunFile(str(tmp_path)).write(RunMetadata(name="r", experiment="e", tags=[]))
    found = yaml.safe_load((tmp_path / "run.yaml").read_text())
    expected = {
        "name": "r",
        "experiment": "e",
        "status": "RUNNING",
        "started_at": None,
        "finished_at": None,
        "duration_secs": None,
        "description": None,
        "tags": None,
        "scalars": {},
        "vectors": {},
        "language": None,
        "env_path": None,
    }
    assert expected == dict(list(found.items())[: len(expected)])
    assert list(expected) == list(found)[: len(expected)]


def test_run_yaml_of_others_can_be_read(tmp_path: Path) -> None:
    """Unknown keys are ignored, absent ones have their default, times may lack their quotes."""
    run = tmp_path / "digits" / "first"
    run.mkdir(parents=True)
    (run / "run.yaml").write_text(
        "status: FINISHED\nstarted_at: 2026-01-31T12:00:00Z\nscalars:\nvectors: {a: 1}\nx: [1]\n"
    )
    meta = RunFile(str(run)).read()
    assert ("first", "digits", RunStatus.FINISHED) == (meta.name, meta.experiment, meta.status)
    assert ({}, {"a": 1}) == (meta.scalars, meta.vectors)
    moment = datetime.datetime(2026, 1, 31, 12, tzinfo=datetime.UTC)
    assert meta.started_at is not None
    assert moment == datetime.datetime.fromisoformat(meta.started_at)


@pytest.mark.parametrize("text", ["status: DONE", "rows_logged: many", "scalars: 3", "tags: {}"])
def test_run_yaml_that_makes_no_sense_is_an_error(tmp_path: Path, text: str) -> None:
    """It names the file and the key."""
    (tmp_path / "run.yaml").write_text(text)
    with pytest.raises(StorageError) as caught:
        RunFile(str(tmp_path)).read()
    assert text.split(":")[0] in caught.value.detail


def test_experiment_yaml_is_the_users(tmp_path: Path) -> None:
    """It is written once; what the user has edited stays, and so does a dangling link."""
    create_experiment(str(tmp_path))
    path = tmp_path / "experiment.yaml"
    expected = {"display_name": None, "description": None, "tags": [], "project": None}
    assert expected == yaml.safe_load(path.read_text())
    path.write_text("display_name: mine\n")
    create_experiment(str(tmp_path), ExperimentMetadata(display_name="ours"))
    assert "display_name: mine\n" == path.read_text()
    path.unlink()
    path.symlink_to("nowhere")
    create_experiment(str(tmp_path))
    assert path.is_symlink()


def test_parameters_merge_at_the_top_level(tmp_path: Path) -> None:
    """A key given again is replaced whole, and keeps its place."""
    merge_params(str(tmp_path), {"lr": 0.1, "model": {"a": 1, "b": 2}})
    merge_params(str(tmp_path), {"model": {"a": 3}, "seed": 7})
    merge_params(str(tmp_path), {})
    expected = {"lr": 0.1, "model": {"a": 3}, "seed": 7}
    found = yaml.safe_load((tmp_path / "config.yaml").read_text())
    assert (expected, list(expected)) == (found, list(found))


def test_a_damaged_config_is_kept(tmp_path: Path) -> None:
    """What a user has broken by hand is said, not lost, and holds up nothing."""
    path = tmp_path / "config.yaml"
    path.write_text("a: [1")
    [warning] = merge_params(str(tmp_path), {"lr": 0.1})
    assert "a: [1" == (tmp_path / "config.yaml.corrupt").read_text()
    assert "is not valid YAML" in warning
    assert "config.yaml.corrupt" in warning
    assert "lr: 0.1\n" == path.read_text()
    assert [] == merge_params(str(tmp_path), {"seed": 7})


class Unheard:
    """A value of a type that YAML does not know, and that has no text either."""

    def __repr__(self) -> str:
        raise RuntimeError("no text")


def nested(levels: int) -> list[object]:
    found: list[object] = [1]
    for _ in range(levels):
        found = [found]
    return found


ODD = datetime.timezone(datetime.timedelta(minutes=9, seconds=21))
MENDED: list[tuple[object, object]] = [
    (7**6000, hex(7**6000)),
    (datetime.datetime(1900, 1, 1, tzinfo=ODD), None),
    ({"deep": [1, {"big": 7**6000, "good": 2}]}, {"deep": [1, {"big": hex(7**6000), "good": 2}]}),
    ([*range(1000), 7**6000, "end"], [*range(1000), hex(7**6000), "end"]),
    (Unheard(), "<Unheard: RuntimeError>"),
    (nested(2000), None),
    ({7**6000: 1}, {hex(7**6000): 1}),
    (1 + 2j, "(1+2j)"),
]


@pytest.mark.parametrize(("value", "expected"), MENDED, ids=range(len(MENDED)))
def test_a_bad_parameter_costs_itself_only(tmp_path: Path, value: object, expected: object) -> None:
    """It becomes text, with a line for run.log; the others and the older ones stay, readable."""
    merge_params(str(tmp_path), {"old": 1})
    [line] = merge_params(str(tmp_path), {"lr": 0.1, "bad": value, "seed": 7})
    assert line.startswith("parameter bad")
    assert "was kept as its text" in line
    assert [] == merge_params(str(tmp_path), {"later": 2})
    found = read_yaml(str(tmp_path / "config.yaml"))
    bad = found.pop("bad")
    assert {"old": 1, "lr": 0.1, "seed": 7, "later": 2} == found
    assert expected is None or expected == bad
    assert ["config.yaml"] == os.listdir(tmp_path)


def test_a_full_config_keeps_what_it_has(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What would make it larger than its reader allows is left out, and the rest goes in."""
    monkeypatch.setattr(yamlfile, "MAX_YAML_BYTES", 1000)
    merge_params(str(tmp_path), {"old": 1})
    [line] = merge_params(str(tmp_path), {"lr": 0.1, "huge": "x" * 1000, "seed": 7})
    assert "parameter 'huge' was left out" in line
    assert {"old": 1, "lr": 0.1, "seed": 7} == read_yaml(str(tmp_path / "config.yaml"))


def test_a_config_that_is_not_a_file_is_set_aside(tmp_path: Path) -> None:
    """A directory of that name holds up nothing."""
    (tmp_path / "config.yaml").mkdir()
    [line] = merge_params(str(tmp_path), {"lr": 0.1})
    assert "config.yaml.corrupt" in line
    assert (tmp_path / "config.yaml.corrupt").is_dir()
    assert {"lr": 0.1} == read_yaml(str(tmp_path / "config.yaml"))
