"""The reader of plain YAML beside the full parser: it reads the same, or leaves the file to it."""

from __future__ import annotations

import yaml
from hypothesis import given
from hypothesis import strategies as st

from expman.storage import yamlfile
from expman.storage.plain_yaml import read_plain_mapping

WORDS = st.sampled_from(
    [
        *("a", "b", "lr", "n", "y", "null", "Null", "true", "TRUE", "no", "NaN", "train/loss"),
        *("0", "-0", "7", "007", "-3", "+4", "1_000", "0x1F", "0o17", "9" * 17, "9" * 40, "1.5"),
        *("1.", ".5", "1e5", "1.0e-05", "-0.0", ".nan", ".NaN", "-.inf", ".inf", "1.5.2", "12:30"),
        *("2026-01-31", "2026-01-31T12:00:00Z", "2026-1-1 1:00:00", "3d12", "12e4", "12e4a"),
        *("x:y", "http://a/b", "x:", ":x", "- x", "-", "--", "---", "...", "a # b", "a #b", "a#b"),
        *("'quoted'", "'it''s'", "''", "'2026-01-31'", '"double"', '"a\\n"', "'open", "~", "<<"),
        *("{}", "[]", "{a: 1}", "{min: 0.5, max: .nan}", "{a: 1, a: 2}", "{a: b}", "{null: 1}"),
        *("{a: 1, }", "{ a: 1}", "[1, 2]", "|", ">", "&a x", "*a", "!!str 1", "%x", "@x", "`x"),
        *("a b", "a  b", "a - b", "a: b", "a ", "\ttab", "/data/x", "./x", "x" * 250, "$x", "a, b"),
    ]
)
USUAL = """\
lr: 0.001
name: resnet50
model:
  layers: 4
  dims:
  - 64
  - a:b
  deep:
    x: null
    y: true
  none: {}
opt: 'adam w'
tags:
- one
- a b
best:
  loss: {min: 0.5, min_step: 99, max: .inf, nonfinite: null}
seed: -1
end: 3d12-4
"""
ODD = st.one_of(
    WORDS, st.sampled_from([*" :-,#'{}[]\n\r\t.e0\x00", " a: 1\n", "\n  ", "\n- ", ": ", "- 1\n"])
)
VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8), WORDS),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text("abn.-1 ", max_size=3), inner)
    ),
    max_leaves=8,
)


def check(data: bytes) -> bool:
    """Compares the readers, with and without dates; returns whether the fast one took the file."""
    plain = read_plain_mapping(data, yamlfile._is_text)
    if plain is None:
        return False
    for loader in (yamlfile._Reader, yamlfile._DateReader):
        full = yaml.load(data, Loader=loader)
        assert repr(full) == repr(plain)  # with types and order; NaN does not equal itself
    return True


@given(start=st.integers(0, len(USUAL)), odd=ODD, left_out=st.sampled_from([0, 0, 0, 1, 2, 7, 40]))
def test_usual_file_with_something_odd(start: int, odd: str, left_out: int) -> None:
    """Something odd anywhere in a usual file is read as the full parser does, or left to it."""
    check((USUAL[:start] + odd + USUAL[start + left_out :]).encode())


@given(key=WORDS, value=WORDS, below=st.sampled_from(["", "\n  ", "\n- ", "\n  a: 1\nb: "]))
def test_one_entry(key: str, value: str, below: str) -> None:
    """Any key and any value are read as the full parser does, or left to it."""
    check(f"{key}: {below}{value}\n".encode())
    check(f"{key}:{below}{value}".encode())


@given(data=st.dictionaries(st.text("abcxyz_/", min_size=1), VALUES, min_size=1))
def test_what_is_written(data: dict[str, object]) -> None:
    """What expman writes is read as the full parser does, or left to it."""
    check(yamlfile.dump_yaml("x", data))


def test_usual_files_are_taken() -> None:
    """A run's usual parameters and metadata take the fast way."""
    data = {
        "lr": 1e-05,
        "batch": 32,
        "name": "resnet50",
        "path": "/data/x",
        "tags": ["arm:tiered", "a b"],
        "model": {"dims": [64, 128], "deep": {"x": None, "y": True, "date": "2026-01-31"}},
        "best": yamlfile.OneLine({"min": 0.5, "min_step": 3, "max": float("inf")}),
        "boot": "9e5051c7-1a3b-47db-a5bb-11238021e8a5",
        "none": {},
        "empty": [],
    }
    assert check(yamlfile.dump_yaml("x", data))
    assert check(USUAL.encode())
