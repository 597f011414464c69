"""The reference pages are complete: every public name, method, setting, error and key is there.

The pages themselves are built by scripts/docs, from the docstrings that are checked here.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

import expman

REFERENCE = Path(__file__).resolve().parents[2] / "docs" / "reference"
PUBLIC = [name for name in expman.__all__ if not name.startswith("__")]
CLASSES = [name for name in PUBLIC if inspect.isclass(getattr(expman, name))]
FUNCTIONS = [name for name in PUBLIC if inspect.isroutine(getattr(expman, name))]


def _members(kind: type) -> Iterator[tuple[str, object]]:
    """Public functions and properties of a class, inherited ones of the package included."""
    for base in kind.__mro__:
        if base.__module__.startswith("expman"):
            for name, member in vars(base).items():
                is_code = isinstance(member, property | classmethod | staticmethod)
                if not name.startswith("_") and (is_code or inspect.isfunction(member)):
                    yield name, member


def _documented(text: str | None) -> set[str]:
    """Names that a docstring explains: `name: …`, alone on its indentation."""
    found = re.findall(r"^ +((?:\*{0,2}\w+(?:, )?)+)(?: \([^)]*\))?: ", text or "", re.MULTILINE)
    return {name.strip("* ") for names in found for name in names.split(",")}


def test_every_public_name_has_an_entry() -> None:
    """The page of the API has each name of `expman.__all__`, and no other."""
    page = (REFERENCE / "api.md").read_text()

    assert sorted(PUBLIC) == sorted(re.findall(r"^::: expman\.(\w+)$", page, re.MULTILINE))


@pytest.mark.parametrize("name", [*CLASSES, *FUNCTIONS])
def test_every_public_name_has_a_docstring(name: str) -> None:
    """A class has one, and each of its public members; a function has one."""
    public = getattr(expman, name)

    assert public.__doc__
    if name in CLASSES:
        assert [] == [member for member, code in _members(public) if not inspect.getdoc(code)]


def test_every_setting_is_explained() -> None:
    """The docstring of ExperimentConfig has each of its fields."""
    fields = set(expman.ExperimentConfig.__struct_fields__)

    assert fields <= _documented(expman.ExperimentConfig.__doc__)


@pytest.mark.parametrize("name", ["Experiment", "init"])
def test_every_parameter_is_explained(name: str) -> None:
    """A parameter is explained by the class Experiment, or is a setting of ExperimentConfig."""
    parameters = set(inspect.signature(getattr(expman, name)).parameters)

    explained = _documented(expman.Experiment.__doc__) | _documented(getattr(expman, name).__doc__)
    explained |= set(expman.ExperimentConfig.__struct_fields__)
    assert parameters <= explained | {"self"}


def test_every_error_is_public() -> None:
    """Each class of the tree of errors is in `expman.__all__`, and so in the reference."""
    tree = [expman.ExpmanError]
    for error in tree:
        tree += [one for one in error.__subclasses__() if one.__module__ == "expman.errors"]

    names = {error.__name__ for error in tree}
    assert {"RecordTooLargeError", "LayoutVersionError"} < names
    assert names <= set(PUBLIC)


@pytest.mark.parametrize("record", [expman.RunMetadata, expman.VectorRow])
def test_every_field_of_a_record_is_explained(record: type[msgspec.Struct]) -> None:
    """The fields of run.yaml are in the page of files; those of a row in its docstring."""
    page = (REFERENCE / "files.md").read_text()
    explained = set(re.findall(r"`(\w+)`", page)) | _documented(record.__doc__)

    assert set(record.__struct_fields__) <= explained


def test_the_table_of_settings_is_the_one_in_the_code() -> None:
    """docs/reference/settings.md is what scripts/reference makes of the table."""
    pytest.importorskip("click")
    from reference import with_settings

    page = (REFERENCE / "settings.md").read_text()

    assert "`flush_interval_rows`" in page
    assert with_settings(page) == page


def test_each_section_of_the_api_has_a_list_of_its_names() -> None:
    """docs/reference/api.md can be read unbuilt: a line for each name and each method."""
    pytest.importorskip("click")
    from api_names import with_names

    page = (REFERENCE / "api.md").read_text()

    assert with_names(page) == page
    listed = re.findall(r"^- `(\w+)", page, re.MULTILINE)
    assert re.findall(r"^::: expman\.(\w+)$", page, re.MULTILINE) == listed
    assert "\n    - `log_image(tag, image, step)`: Logs a picture.\n" in page
    assert [] == re.findall(r"^ *- `[^`]+`:?\s*$", page, re.MULTILINE)


def test_every_variable_is_explained() -> None:
    """docs/reference/settings.md has each environment variable of expman that the code names."""
    package = Path(expman.__file__).parent
    code = "\n".join(path.read_text() for path in package.rglob("*.py"))
    page = (REFERENCE / "settings.md").read_text()

    variables = set(re.findall(r"\bEXPMAN_[A-Z_]*[A-Z]\b", code))
    assert {"EXPMAN_RUN", "EXPMAN_WRITER", "EXPMAN_BASE_DIR"} < variables
    assert [] == [name for name in sorted(variables) if f"`{name}`" not in page]
