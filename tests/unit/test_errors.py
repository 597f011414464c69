"""The exceptions: the tree that is drawn, what each one carries, and that it travels."""

from __future__ import annotations

import copy
import errno
import pickle
import re

import pytest

import expman
from expman import errors
from expman.errors import ConfigError, ExpmanError

# One of each, with its attributes and what its message must name: the thing and the way out.
CASES: list[tuple[ExpmanError, dict[str, object], list[str]]] = [
    (
        ConfigError("name", "a/b", "must not contain a path separator"),
        {"setting": "name", "value": "a/b", "rule": "must not contain a path separator"},
        ["name='a/b'", "must not contain a path separator"],
    ),
    (
        errors.RunExistsError("/e/digits/first"),
        {"run_dir": "/e/digits/first"},
        ["/e/digits/first", "choose another run_name", "resume='allow'"],
    ),
    (
        errors.RunClosedError("/e/digits/first"),
        {"run_dir": "/e/digits/first"},
        ["/e/digits/first", "is closed", "start another run to log more: expman.init(…)"],
    ),
    (
        errors.RunEndedError("shm:0#0"),
        {"address": "shm:0#0"},
        ["shm:0#0", "has ended", "attach while"],
    ),
    (
        errors.RecordTooLargeError(70_000, 65_536),
        {"record_bytes": 70_000, "limit_bytes": 65_536},
        ["70000", "max_buffer_bytes=65536", "raise max_buffer_bytes"],
    ),
    (
        errors.SharedMemoryError(8192, ["shm: Too many open files"], errno.EMFILE),
        {"size_bytes": 8192, "tried": ["shm: Too many open files"]},
        ["8192", "shm: Too many open files", "ulimit -n"],
    ),
    (
        errors.SharedMemoryError(4096, ["shm: full", "/tmp/x: denied"]),
        {"size_bytes": 4096, "tried": ["shm: full", "/tmp/x: denied"]},
        ["4096", "shm: full; /tmp/x: denied", "--shm-size", "TMPDIR"],
    ),
    (
        errors.ArtifactError("/e/digits/first", ["model.bin: No such file"], 2),
        {
            "run_dir": "/e/digits/first",
            "artifacts": ["model.bin: No such file"],
            "count": 2,
            "detail": "2 artifacts could not be stored "
            "(model.bin: No such file; and 1 more, see run.log)",
            "recovery": "everything else is durable; save what is missing again, "
            "or copy it yourself",
        },
        ["/e/digits/first", "model.bin: No such file; and 1 more", "everything else is durable"],
    ),
    (
        errors.LayoutVersionError("expman-1", 7, 1),
        {"segment": "expman-1", "found": 7, "expected": 1},
        ["expman-1", "version 7", "reads 1", "use the expman version"],
    ),
    (
        errors.CorruptLaneError("expman-1", 128, "no record"),
        {"segment": "expman-1", "offset": 128, "detail": "no record"},
        ["expman-1", "128", "no record"],
    ),
    (
        errors.ResumeError("/e/digits/first", "process 7 of this host logs into it"),
        {"run_dir": "/e/digits/first", "why": "process 7 of this host logs into it"},
        ["/e/digits/first", "cannot go on", "process 7"],
    ),
    (
        errors.StorageError("/e/run.yaml", "No space left on device"),
        {"path": "/e/run.yaml", "detail": "No space left on device"},
        ["/e/run.yaml", "No space left on device"],
    ),
    (
        errors.FlushError("/e/digits/first", "disk full", "run recover"),
        {"run_dir": "/e/digits/first", "detail": "disk full", "recovery": "run recover"},
        ["/e/digits/first", "disk full", "run recover"],
    ),
    (
        errors.NoActiveRunError("log_vector"),
        {"function": "log_vector"},
        ["expman.log_vector()", "expman.init(name)"],
    ),
]
each_error = pytest.mark.parametrize(
    ("error", "attributes", "words"), CASES, ids=[type(case[0]).__name__ for case in CASES]
)


def test_the_drawn_tree_is_the_tree() -> None:
    """The docstring shows every class, with its second base where it has one."""
    drawn = dict(
        re.findall(r"^ [├└]─ (\w+)(?: \((\w+)\))?  +\S", errors.__doc__ or "", re.MULTILINE)
    )
    below = re.findall(r"^ [├└]─ (\w+).*\n │   └─ (\w+)  +\S", errors.__doc__ or "", re.MULTILINE)
    actual, actual_below = {}, []
    for name in errors.__all__:
        bases = [base.__name__ for base in getattr(errors, name).__bases__]
        if "ExpmanError" == bases[0]:
            actual[name] = "".join(bases[1:])
        elif name != "ExpmanError":
            actual_below.append((bases[0], name))
    assert drawn == actual
    assert below == actual_below
    assert (Exception,) == ExpmanError.__bases__


def test_every_class_has_its_case() -> None:
    """No class is left out below, and each is a name of the package."""
    assert {*errors.__all__} == {type(case[0]).__name__ for case in CASES} | {"ExpmanError"}
    assert all(getattr(errors, name) is getattr(expman, name) for name in errors.__all__)


@each_error
def test_attributes_and_message(
    error: ExpmanError, attributes: dict[str, object], words: list[str]
) -> None:
    """The numbers and paths are attributes, and stand in the message with what to do."""
    assert attributes == vars(error)
    assert [] == [word for word in words if word not in str(error)]


@each_error
@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_it_survives_pickling(
    error: ExpmanError, attributes: dict[str, object], words: list[str], protocol: int
) -> None:
    """One raised in a worker arrives in its parent with message and attributes."""
    again = pickle.loads(pickle.dumps(error, protocol))
    assert (type(error), str(error), attributes) == (type(again), str(again), vars(again))


@each_error
def test_it_survives_copying(
    error: ExpmanError, attributes: dict[str, object], words: list[str]
) -> None:
    """A copy is the same, notes included."""
    noted = copy.copy(error)
    noted.add_note("in worker 3")
    again = copy.deepcopy(noted)
    assert (str(error), ["in worker 3"]) == (str(again), again.__notes__)


def test_a_subclass_survives_pickling() -> None:
    """So does an exception that a user derives, whatever its arguments."""
    error = Derived(1, 2)
    again = pickle.loads(pickle.dumps(error))
    assert (Derived, str(error), vars(error)) == (type(again), str(again), vars(again))


class Derived(errors.StorageError):
    def __init__(self, first: int, second: int) -> None:
        super().__init__(str(first), str(second))
        self.sum = first + second


def test_a_bad_setting_is_a_value_error() -> None:
    """Code that knows nothing of expman can catch it."""
    with pytest.raises(ValueError, match="must not be empty"):
        expman.ExperimentConfig("")
