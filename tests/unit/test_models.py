"""The model: what a configuration takes, what it refuses and how it says so."""

from __future__ import annotations

import itertools
import os
import pickle
import re
import sys
import time
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from expman import ConfigError, ExperimentConfig, ExperimentMetadata, LogLevel, RunStatus
from expman.metadata import RunMetadata
from expman.models import VectorRow

VALID_TEXT = "must be valid text: a path's bytes must be UTF-8, and the locale, too"


def test_defaults() -> None:
    """Only the experiment's name is needed; the defaults are those of expman-rs."""
    config = ExperimentConfig("digits")

    expected = {
        "name": "digits",
        "base_dir": "experiments",
        "suffix_if_taken": True,
        "resume": "never",
        "from_step": None,
        "flush_interval_rows": 50,
        "flush_interval_ms": 500,
        "language": "python",
        "env_path": sys.executable,
        "tags": (),
        "python": None,
        "description": None,
        "max_buffer_bytes": 64 * 1024 * 1024,
        "overflow": "block",
        "writer": None,
        "group": None,
        "project": None,
        "rank": None,
        "quiet": None,
        "redirect_console": False,
        "hang_after_s": 0,
        "mirror": None,
        "heartbeat_interval_secs": 30,
        "system_metrics_interval_secs": 0,
        "capture_provenance": False,
        "capture_diff": None,
    }
    actual = msgspec.structs.asdict(config)
    del actual["run_name"]
    assert expected == actual


def test_a_run_without_a_name_is_called_after_the_local_time() -> None:
    """`YYYYmmdd_HHMMSS` in local time, and such a name may get a suffix."""
    before = time.strftime("%Y%m%d_%H%M%S")
    config = ExperimentConfig("digits")
    after = time.strftime("%Y%m%d_%H%M%S")

    assert config.run_name is not None
    assert re.fullmatch(r"\d{8}_\d{6}", config.run_name)
    assert before <= config.run_name <= after
    assert config.suffix_if_taken is True


@pytest.mark.parametrize("suffix", [None, False, True])
def test_a_given_run_name_gets_a_suffix_only_if_wanted(suffix: bool | None) -> None:
    """A name that the user chose is kept as it is, unless suffix_if_taken says otherwise."""
    config = ExperimentConfig("digits", run_name="first", suffix_if_taken=suffix)
    assert ("first", bool(suffix)) == (config.run_name, config.suffix_if_taken)


def test_directories_follow_from_the_names() -> None:
    """The run's directory is base_dir/name/run_name."""
    config = ExperimentConfig("digits", "/data/exp", run_name="first")
    assert "/data/exp/digits" == config.experiment_dir
    assert "/data/exp/digits/first" == config.run_dir


def test_base_dir_may_be_a_path() -> None:
    """An os.PathLike is taken, and kept as text."""
    config = ExperimentConfig("digits", Path("a") / "b")  # type: ignore[arg-type]
    assert "a/b" == config.base_dir


def test_it_is_frozen_and_survives_pickling() -> None:
    """A configuration cannot be changed, and arrives in another process as it was."""
    config = ExperimentConfig("digits", run_name="first", tags=("a", "b"))
    with pytest.raises(AttributeError):
        config.name = "other"  # type: ignore[misc]
    assert config == pickle.loads(pickle.dumps(config))


BAD_NAMES = [
    ("", "must not be empty"),
    (".", "must not be . or .."),
    ("..", "must not be . or .."),
    ("...", "must not begin with a dot: such directories are hidden"),
    (".a", "must not begin with a dot: such directories are hidden"),
    ("a/b", "must not contain a path separator"),
    ("/", "must not contain a path separator"),
    ("../a", "must not contain a path separator"),
    ("a\0b", "must not contain NUL or other control characters"),
    ("a\nb", "must not contain NUL or other control characters"),
    ("\x1b[2J", "must not contain NUL or other control characters"),
    ("\x7f", "must not contain NUL or other control characters"),
    ("\ud800", VALID_TEXT),
    ("\udc80", VALID_TEXT),
    ("x" * 256, "must not be longer than 255 bytes, is 256"),
    ("ü" * 128, "must not be longer than 255 bytes, is 256"),
    (7, "must be text"),
    (None, "must be text"),
    (b"x", "must be text"),
]


@pytest.mark.parametrize(("name", "rule"), BAD_NAMES)
def test_a_name_that_is_no_directory_name_is_refused(name: Any, rule: str) -> None:
    """The error names the setting, the value and the rule that it breaks."""
    with pytest.raises(ConfigError) as caught:
        ExperimentConfig(name)
    assert ("name", name, rule) == (caught.value.setting, caught.value.value, caught.value.rule)
    assert f"name={name!r}: {rule}" == str(caught.value)


@pytest.mark.parametrize(("name", "rule"), [bad for bad in BAD_NAMES if bad[0] is not None])
def test_a_run_name_that_is_no_directory_name_is_refused(name: Any, rule: str) -> None:
    """The rules for a run's name are those for an experiment's."""
    with pytest.raises(ConfigError) as caught:
        ExperimentConfig("digits", run_name=name)
    assert ("run_name", name, rule) == (caught.value.setting, caught.value.value, caught.value.rule)


@pytest.mark.parametrize("label", ["run_name", "EXPMAN_RUN_NAME"])
def test_no_run_is_called_latest(label: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It stands for the newest run, which a run of that name would hide."""
    assert "latest" == ExperimentConfig("latest").name
    if label == "EXPMAN_RUN_NAME":
        monkeypatch.setenv(label, "latest")
    with pytest.raises(ConfigError) as caught:
        ExperimentConfig("digits", run_name="latest" if label == "run_name" else None)
    assert f"{label}='latest': stands for the newest run of an experiment; choose another name" == (
        str(caught.value)
    )


@pytest.mark.parametrize(
    "name", ["x" * 255, "ü" * 127, "a...", "a b", "-n", "a:b", "größe", "日本", "a..", "a\\b"]
)
def test_any_other_name_is_taken(name: str, run_base: Path) -> None:
    """What is taken is a directory name that the file system takes, one level below."""
    config = ExperimentConfig(name, str(run_base), run_name=name)
    os.makedirs(config.run_dir)
    assert [name] == os.listdir(run_base)
    assert [name] == os.listdir(run_base / name)


@pytest.mark.parametrize(
    ("setting", "value", "rule"),
    [
        ("base_dir", 7, "must be a path"),
        ("base_dir", None, "must be a path"),
        ("base_dir", "", "must be a non-empty text path without NUL"),
        ("base_dir", "a\0", "must be a non-empty text path without NUL"),
        ("base_dir", b"a", "must be a non-empty text path without NUL"),
        ("flush_interval_rows", 0, "must be a whole number of at least 1"),
        ("flush_interval_rows", 1.5, "must be a whole number of at least 1"),
        ("flush_interval_rows", True, "must be a whole number of at least 1"),
        ("flush_interval_ms", -1, "must be a whole number of at least 1"),
        ("flush_interval_ms", "5", "must be a whole number of at least 1"),
        ("max_buffer_bytes", 65535, "must be a whole number of at least 65536"),
        ("max_buffer_bytes", None, "must be a whole number of at least 65536"),
        ("tags", 7, "must be a string or a sequence of strings"),
        ("tags", b"abc", "must be a string or a sequence of strings"),
        ("tags", {"a": 1}, "must be a string or a sequence of strings"),
        ("language", None, "must be text"),
        ("env_path", Path("x"), "must be text"),
        ("description", 3, "must be text"),
        ("overflow", "wait", 'must be "block" or "drop"'),
        ("overflow", None, 'must be "block" or "drop"'),
    ],
)
def test_a_setting_that_cannot_be_used_is_refused(setting: str, value: Any, rule: str) -> None:
    """The error names the setting, the value and the rule that it breaks."""
    with pytest.raises(ConfigError) as caught:
        ExperimentConfig("digits", **{setting: value})
    assert (setting, value, rule) == (caught.value.setting, caught.value.value, caught.value.rule)


def test_a_text_that_utf8_cannot_hold_is_refused() -> None:
    """A lone surrogate, which no record can carry, is refused at once and not by the engine."""
    for setting in ("base_dir", "description", "tags", "language", "env_path"):
        value: Any = ["\udc80"] if setting == "tags" else "\udc80"
        with pytest.raises(ConfigError) as caught:
            ExperimentConfig("digits", **{setting: value})
        assert (setting, VALID_TEXT) == (caught.value.setting, caught.value.rule)


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        ("baseline", ("baseline",)),
        (["b", "a"], ("b", "a")),
        (("b", "a"), ("b", "a")),
        ({"b", "a"}, ("a", "b")),
        ((tag for tag in "ba"), ("b", "a")),
        (np.array(["b", "a"]), ("b", "a")),
        ({"b": 1}.keys(), ("b",)),
        (None, ()),
    ],
)
def test_tags_become_a_tuple(tags: Any, expected: tuple[str, ...]) -> None:
    """One text is one tag; what has an order keeps it, sets get one, None is none."""
    found = ExperimentConfig("digits", tags=tags).tags
    assert expected == found
    assert {str} >= set(map(type, found))


def test_tags_without_end_are_refused() -> None:
    """A generator may be endless."""
    with pytest.raises(ConfigError, match="must not be more than 1000"):
        ExperimentConfig("digits", tags=itertools.repeat("a"))  # type: ignore[arg-type]


class Text(str):
    def __str__(self) -> str:
        return "something else"

    __repr__ = encode = __str__  # type: ignore[assignment]


def test_texts_of_a_subclass_are_plain() -> None:
    """What they say of themselves does not count."""
    config = ExperimentConfig(Text("a"), run_name=Text("b"), tags=[Text("c")], group=Text("d"))
    found = [config.name, config.run_name, *config.tags, config.group]
    assert [(str, letter) for letter in "abcd"] == [(type(text), text) for text in found]


def test_a_tag_that_is_no_text_is_refused() -> None:
    """The error shows the tag."""
    with pytest.raises(ConfigError, match=r"^tags=7: must be text$"):
        ExperimentConfig("digits", tags=["a", 7])  # type: ignore[arg-type,list-item]


@pytest.mark.parametrize("text", ["FINISHED", "finished", " Finished\n", RunStatus.FINISHED])
def test_a_status_is_read_in_any_case(text: str) -> None:
    """Letter case and space around it do not matter."""
    assert RunStatus.FINISHED is RunStatus.parse(text)


@pytest.mark.parametrize("text", ["", "done", "RunStatus.FAILED", 3, None])
def test_a_status_that_is_none_is_refused(text: Any) -> None:
    """The error shows the value and lists what there is."""
    with pytest.raises(ValueError, match="use one of RUNNING, FINISHED, FAILED, CRASHED") as caught:
        RunStatus.parse(text)
    assert repr(text) in str(caught.value)


def test_statuses_and_levels_are_their_text() -> None:
    """They compare and print as the words that stand in the files."""
    assert ["RUNNING", "FINISHED", "FAILED", "CRASHED"] == [str(status) for status in RunStatus]
    assert ["INFO", "WARN", "ERROR"] == [f"{level}" for level in LogLevel]


def test_metadata_defaults() -> None:
    """A run is RUNNING and empty until something is known; no two share a mapping."""
    one, other = (RunMetadata(name="first", experiment="digits") for _ in range(2))
    one.scalars["x"] = 1
    assert {} == other.scalars
    assert (RunStatus.RUNNING, None, {}, 0, 0, 0, 0) == (
        other.status,
        other.reason,
        other.vectors,
        other.rows_logged,
        other.rows_written,
        other.rows_dropped,
        other.writer_restarts,
    )
    assert (None, None, [], None) == msgspec.structs.astuple(ExperimentMetadata())


def test_metadata_keeps_the_kinds_of_values() -> None:
    """Over a round trip an int stays an int, a bool a bool, NaN NaN."""
    values: dict[str, Any] = {"i": 2**63 - 1, "b": True, "f": 1.0, "t": "no"}
    meta = RunMetadata(name="r", experiment="e", scalars=dict(values), status=RunStatus.FAILED)
    again = msgspec.msgpack.decode(msgspec.msgpack.encode(meta), type=RunMetadata)
    assert meta == again
    assert [(type(v), v) for v in values.values()] == [(type(v), v) for v in again.scalars.values()]


def test_a_row_is_frozen() -> None:
    """What was logged cannot be changed by a reader."""
    row = VectorRow({"loss": 0.5}, 1, 2, "main", 0)
    with pytest.raises(AttributeError):
        row.step = 2  # type: ignore[misc]
