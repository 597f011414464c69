"""Shared words: each has its proof beside it, and the tests that proofs name exist."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import expman
from expman.transport import address_control, lane_words, layout
from expman.transport.address_control import AddressControl
from expman.transport.lane_words import Cutoff, LaneWords
from expman.transport.words import Flag, Word

PACKAGE = Path(expman.__file__).parent
TESTS = Path(__file__).parents[2]
PARTS = ["Written by:", "Read by:", "Safe:", "Shown by:"]
_WORD = re.compile(r"    (\w+) = (?:Word|Flag)\(layout\.(\w+)\)")


def proofs(module: object) -> Iterator[tuple[str, list[str]]]:
    """Each declared word, with the comment lines above the group that it stands in."""
    comment: list[str] = []
    is_open = False
    for line in Path(str(vars(module)["__file__"])).read_text().splitlines():
        if line.startswith("    # "):
            comment = [*comment, line] if is_open else [line]
            is_open = True
            continue
        is_open = False
        if found := _WORD.fullmatch(line):
            yield found[1], comment
        elif not line.strip():
            comment = []


@pytest.mark.parametrize("module", [lane_words, address_control])
def test_every_word_has_its_proof(module: object) -> None:
    """Who writes it, who reads it, why that is safe, and which test shows it, in this order."""
    found = dict(proofs(module))

    owner = {lane_words: LaneWords, address_control: AddressControl}[module]  # type: ignore[index]
    declared = {name for name, value in vars(owner).items() if isinstance(value, Word | Flag)}
    assert declared == set(found)
    for name, comment in found.items():
        parts = [part for line in comment for part in PARTS if f"# {part}" in line]
        assert parts == PARTS, name
        assert re.search(r"test_\w+", comment[-1]), name


def test_every_word_of_the_map_is_declared_or_explained() -> None:
    """No word is without a name, except those that a module of their own describes."""
    source = Path(lane_words.__file__).read_text()
    names = set(re.findall(r"^ +\d+  ([A-Z_]+) ", source, flags=re.M)) - {"MAGIC"}
    elsewhere = {"EXIT_RECORD", "EXIT_LONG_PAUSE", "EXIT_PAUSE"}  # exit_record
    elsewhere |= {"TERM_TABLE", "START_TABLE"}  # numbering

    code = source.split('"""', 2)[2]
    assert set() == {name for name in names - elsewhere if not re.search(rf"\b{name}", code)}


def documentation(path: Path) -> str:
    """The docstrings and comments of a module."""
    source = path.read_text()
    tree = ast.parse(source)
    texts = [
        node.value.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    ]
    return "\n".join([*texts, *re.findall(r"#.*", source)])


def test_every_test_that_is_named_exists() -> None:
    """A proof that names a test that is gone proves nothing."""
    there = {path.stem for path in TESTS.rglob("test_*.py")}
    for path in TESTS.rglob("*.py"):
        there |= set(re.findall(r"def (test_\w+)", path.read_text()))
    missing = []
    pages = {path: documentation(path) for path in sorted(PACKAGE.rglob("*.py"))}
    pages |= {path: path.read_text() for path in [PACKAGE.parent / "docs" / "design.md"]}
    for path, text in pages.items():
        missing += [
            f"{path.name}: {name}" for name in re.findall(r"\btest_\w+", text) if name not in there
        ]
        for name in re.findall(r"\btests/[\w/]+\.py", text):
            if not (PACKAGE.parent / name).exists():
                missing.append(f"{path.name}: {name}")
    assert [] == missing
    assert any("test_late_rows" in text for text in pages.values())


class Words:
    """Words that a test lays."""

    count = Word(1)
    is_set = Flag(2)

    def __init__(self) -> None:
        self.words = memoryview(bytearray(64)).cast("Q")


def test_a_word_is_an_attribute() -> None:
    """Read and stored under its name; the class knows its number."""
    words = Words()
    words.count = 2**64 - 1
    words.is_set = True

    assert (2**64 - 1, True) == (words.count, words.is_set)
    assert [0, 2**64 - 1, 1, 0] == words.words[:4].tolist()
    assert (1, 2) == (Words.count.number, Words.is_set.number)


def control() -> LaneWords:
    return LaneWords(bytearray(layout.CONTROL_BYTES))


@pytest.mark.parametrize("step", [0, 7, -1, 2**63 - 1, -(2**63)])
def test_a_durable_step_may_be_negative(step: int) -> None:
    """It is stored in two's complement; before the first one there is none."""
    words = control()
    assert words.durable_step is None
    words.durable_step = step
    assert step == words.durable_step


def test_texts_are_bounded() -> None:
    """A text that is too long is cut, and never reaches the words behind it."""
    words = control()
    words.write_error = "ä" * 5000
    words.add_missing_artifact("first\nline: gone")
    for number in range(1000):
        words.add_missing_artifact(f"artifact {number}")

    assert set("ä\N{REPLACEMENT CHARACTER}") >= set(words.write_error)
    assert "first line: gone" == words.missing_artifacts[0]
    assert 1001 == words.artifacts_missing > len(words.missing_artifacts)
    words.write_error = ""
    assert "" == words.write_error


def test_the_cutoff_comes_back() -> None:
    """As it was stored; a record is included up to it, gaps aside."""
    words = control()
    assert words.cutoff is None
    cutoff = Cutoff(3, 10, 400, (4, 7))
    words.cutoff = cutoff

    assert cutoff == words.cutoff
    assert [True, True, False, True, False, False] == [
        cutoff.includes(*at) for at in [(2, 99), (3, 0), (3, 4), (3, 9), (3, 10), (4, 0)]
    ]


def test_more_gaps_than_there_is_room_for() -> None:
    """The first ones are kept."""
    words = control()
    words.cutoff = Cutoff(0, 100, 1000, tuple(range(40)))

    assert words.cutoff is not None
    assert tuple(range(layout.GAP_ENTRIES)) == words.cutoff.gaps


def test_rows_of_workers_without_a_lane_add_up() -> None:
    """Each process has a count; no count falls below zero."""
    words = control()
    words.count_laneless(1, 5)
    words.count_laneless(2, 3)
    words.count_laneless(1, -9)

    assert 3 == words.laneless_drops
