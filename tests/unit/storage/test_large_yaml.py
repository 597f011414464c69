"""Large parameters: written without PyYAML, and read like those that PyYAML wrote."""

from __future__ import annotations

import datetime
import math
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from expman.metadata import Attempt, MetricBest, RunMetadata
from expman.storage import configfile, large_yaml, yamlfile
from expman.storage.configfile import ConfigFile
from expman.storage.yamlfile import RunFile, dump_yaml, parse_yaml, read_yaml

ODD_TEXTS = [
    *("", " ", "a ", " a", "- a", "a: b", "a #b", "# a", "yes", "No", "NULL", "~", "1", "1e5"),
    *("1:30", "2024-01-01", "<<", "=", "'", "it's", '"', "\\n", "a\nb", "\n", "\t", "é", "0x1"),
    "😀",
    *("{a}", "[a]", "*a", "&a", "!a", "%a", "@a", "`a", "? a", "a:", "---", "...", ".nan"),
    *("y", "on", "a,b"),
]
KEYS = st.one_of(st.sampled_from(ODD_TEXTS), st.text(max_size=8), st.integers())
LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=8),
    st.sampled_from(ODD_TEXTS),
)
TREES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(KEYS, inner, max_size=4),
        st.dictionaries(KEYS, LEAVES, max_size=4).map(large_yaml.OneLine),
    ),
    max_leaves=20,
)


@pytest.fixture(autouse=True, scope="module")
def every_tree_is_large() -> Any:
    """Small ones, too, are written without PyYAML."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(large_yaml, "FEWEST_VALUES", 0)
        yield


def alike(left: Any, right: Any) -> bool:
    """Equal and of the same types, with NaN equal to itself; a mapping on one line is one."""
    left, right = (dict(side) if isinstance(side, dict) else side for side in (left, right))
    if type(left) is not type(right):
        return False
    if isinstance(left, dict):
        return list(left) == list(right) and all(alike(left[key], right[key]) for key in left)
    if isinstance(left, list):
        return len(left) == len(right) and all(map(alike, left, right))
    if isinstance(left, float):
        return repr(left) == repr(right)
    return bool(left == right)


@given(st.dictionaries(st.text(min_size=1, max_size=8), TREES, min_size=1, max_size=4))
def test_any_tree_is_read_as_it_was(tree: dict[str, Any]) -> None:
    """What is not left to PyYAML reads as it was, by our reader and by PyYAML's own."""
    text = large_yaml.large_yaml(tree)
    if text is None:
        return
    assert alike(tree, parse_yaml("", text))
    assert alike(parse_yaml("", dump_yaml("", tree)), parse_yaml("", text))
    assert alike(tree, yaml.safe_load(text))


@pytest.mark.parametrize("text", ODD_TEXTS)
def test_odd_texts_stay_texts(text: str) -> None:
    """As a key, as a value and in a list, where YAML would take some of them for something else."""
    tree = {"a": text, "b": [text, [text]], "c": {text: text}}
    found = large_yaml.large_yaml(tree)

    assert found is not None
    assert tree == parse_yaml("", found)
    assert tree == yaml.load(found, Loader=yaml.SafeLoader)


@pytest.mark.parametrize(
    "value",
    [datetime.date(2026, 1, 1), (1, 2), "\x00", "\ud800", 10**5000, {"k" * 200: 1}, {1.5: 1}, b"a"],
    ids=lambda value: type(value).__name__,
)
def test_other_values_are_left_to_pyyaml(value: Any) -> None:
    """And so is a tree that is nested deeply."""
    deep: Any = 1
    for _ in range(30):
        deep = [deep]

    assert large_yaml.large_yaml({"a": 1, "b": value}) is None
    assert large_yaml.large_yaml({"a": deep}) is None


def test_a_small_tree_is_left_to_pyyaml(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its file looks as it always did."""
    monkeypatch.setattr(large_yaml, "FEWEST_VALUES", 1000)

    assert large_yaml.large_yaml({"a": [1] * 997, "b": 1}) is None
    assert large_yaml.large_yaml({"a": [1] * 998, "b": 1}) is not None


def test_a_file_is_read_again_only_if_it_is_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Merging into what was just written reads nothing; what somebody else wrote is kept."""
    file, path = ConfigFile(str(tmp_path)), tmp_path / "config.yaml"
    reads = []
    real = configfile.read_yaml
    monkeypatch.setattr(configfile, "read_yaml", lambda path: reads.append(path) or real(path))

    file.merge({"lr": 0.1, "odd": math.inf})
    file.merge({"seed": 7})
    assert [] == reads
    path.write_text("theirs: 1\n")
    file.merge({"seed": 8})

    assert {"theirs": 1, "seed": 8} == read_yaml(str(path))
    assert 1 == len(reads)


def test_run_yaml_of_many_metrics(tmp_path: Path) -> None:
    """It reads as it was written, and means what PyYAML would have written."""
    best = MetricBest(min=-1.5, min_step=0, max=math.inf, max_step=7, last=math.nan, last_step=7)
    names = ["a/b", "x: y", "é", "1", *(f"layer {n}" for n in range(1200))]
    meta = RunMetadata(name="2026-01-01", experiment="e", tags=["yes", "b"], reason="a: b\nc")
    meta.vectors = dict.fromkeys(names, 0.5) | {"t": "12:30", "n": 3, "nan": math.nan}
    meta.best = dict.fromkeys(names, best)
    meta.earlier_attempts = [Attempt(started_at="2026-01-01T00:00:00Z", reason="it's", host="h")]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(yamlfile, "dump_yaml", None)  # not asked
        RunFile(str(tmp_path)).write(meta)
    found = RunFile(str(tmp_path)).read()
    assert repr(meta) == repr(found)
    document = yaml.safe_load((tmp_path / "run.yaml").read_text(encoding="utf-8"))
    assert alike(document, parse_yaml("", dump_yaml("", document)))
