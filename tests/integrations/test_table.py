"""The table of frameworks in the documentation says what the tests here show, and no more.

`EXPMAN_WRITE_TABLES=1 scripts/test tests/integrations/test_table.py` writes it, with the versions
that the interpreter of `EXPMAN_FRAMEWORKS_PYTHON` has.
"""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "frameworks.md"
BEGIN, END = "<!-- made by tests/integrations/test_table.py -->\n", "<!-- end -->\n"

FACTS = (
    *("config", "metrics", "accumulation", "evaluation", "checkpoints", "best score", "FAILED"),
    *("trained again", "resumed", "ranks", "kill -9", "current run"),
)
"""The columns: what a test may show of a framework."""

FRAMEWORKS = {
    "transformers": ("transformers", "transformers", "the dataset"),
    "trl": ("TRL", "trl", "samples that a trainer logs as tables"),
    "sentence_transformers": ("sentence-transformers", "sentence-transformers", "the dataset"),
    "lightning": ("Lightning", "lightning", "the model's graph; the profiler"),
    "accelerate": ("Accelerate", "accelerate", "checkpoints: it does not tell its trackers"),
    "xgboost": ("XGBoost", "xgboost-cpu", "the data; importances"),
    "lightgbm": ("LightGBM", "lightgbm", "the data; importances"),
    "ray_tune": ("Ray Tune", "ray", "what a trial prints; the machine of a trial"),
    "ray_train": ("Ray Train V2", "ray", "ranks above 0; `num_workers=0`, which calls nobody"),
    "optuna": ("Optuna", "optuna", "the sampler and the pruner"),
    "keras": ("Keras 3", "keras", "files of `ModelCheckpoint`; the graph"),
    "hydra": ("Hydra", "hydra-core", "metrics: the job logs them"),
    "mlflow": ("MLflow", "mlflow", "artifacts and models: MLflow has them, beside the runs"),
    "stable_baselines3": ("Stable-Baselines3", "stable-baselines3", "files of its checkpoints"),
    "skorch": ("skorch", "skorch", "rows of batches; files of `Checkpoint`"),
}
"""Title, distribution, and what is not recorded."""


def shown() -> dict[str, set[str]]:
    """What the tests show of each framework, by their markers."""
    found: dict[str, set[str]] = {name: set() for name in FRAMEWORKS}
    for path in sorted(Path(__file__).parent.glob("test_*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in {"of", "pytest.mark.shows"}:
                words = [arg.value for arg in node.args if isinstance(arg, ast.Constant)]
                if words:  # not the call in `of` itself
                    found[words[0]].update(words[1:])
    return found


def versions() -> dict[str, str]:
    """The version of each distribution, as far as the frameworks' interpreter has it."""
    code = (
        "import importlib.metadata as m, json; all = [d for d in m.distributions() if d.name]; "
        "print(json.dumps({d.name.lower().replace('_', '-'): d.version for d in reversed(all)}))"
    )
    python = os.environ["EXPMAN_FRAMEWORKS_PYTHON"]
    done = subprocess.run([python, "-c", code], capture_output=True, text=True, check=True)
    found: dict[str, str] = json.loads(done.stdout)
    return {
        name: ".".join(found.get(package, found.get("xgboost", "?")).split(".")[:2])
        for name, (_, package, _) in FRAMEWORKS.items()
    }


def lines(version_of: dict[str, str]) -> Iterator[str]:
    """The table."""
    yield f"| framework | version | {' | '.join(FACTS)} | not recorded |"
    yield "|---|---|" + ":-:|" * len(FACTS) + "---|"
    for name, facts in shown().items():
        title, _, missing = FRAMEWORKS[name]
        cells = ["✓" if fact in facts else "" for fact in FACTS]
        yield f"| {title} | {version_of.get(name, '')} | {' | '.join(cells)} | {missing} |"


def without_versions(table: str) -> str:
    return re.sub(r"^(\| [^|]+) \| [\d.?]* \|", r"\1 | |", table, flags=re.MULTILINE)


@pytest.mark.skipif("EXPMAN_WRITE_TABLES" not in os.environ, reason="writes the table")
def test_write() -> None:
    """Writes the table into the page."""
    before, _, rest = PAGE.read_text().partition(BEGIN)
    table = "\n".join([*lines(versions()), ""])
    PAGE.write_text(f"{before}{BEGIN}{table}{END}{rest.partition(END)[2]}")


def test_the_page_has_the_table() -> None:
    """Each mark in the table is a test's, and each test's is there."""
    table = PAGE.read_text().partition(BEGIN)[2].partition(END)[0]
    assert without_versions("\n".join([*lines({}), ""])) == without_versions(table)


def test_only_known_facts_are_shown() -> None:
    """No marker has a misspelt name, and no framework is without a test."""
    found = shown()
    assert set() == set().union(*found.values()) - set(FACTS)
    assert [] == [name for name, facts in found.items() if not facts]
