"""A plugin of pytest: tensorboardX's own tests get our SummaryWriter.

Writes to the file RESULTS, as JSON, each test that made a SummaryWriter, and whether it passed.
"""

from __future__ import annotations

import importlib.util
import json
import os
import sys
import types
from pathlib import Path
from typing import Any

import pytest
import tensorboardX

import expman

made = 0
results: dict[str, str] = {}


class CountedWriter(expman.SummaryWriter):
    """Counts what a test makes: those that make none are not about it."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        global made
        made += 1
        super().__init__(*args, **kwargs)


tensorboardX.SummaryWriter = CountedWriter
# One file imports them for its test of S3, which is left out.
for name in ("boto3", "moto"):
    if importlib.util.find_spec(name) is None:
        sys.modules[name] = types.ModuleType(name)
        sys.modules[name].mock_s3 = lambda function: function  # type: ignore[attr-defined]


def pytest_runtest_setup(item: pytest.Item) -> None:
    global made
    made = 0


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if report.when == "call" and (made or report.failed):
        file, _, name = report.nodeid.removeprefix("tests/").partition("::")
        results[f"{file}::{name.rpartition('::')[2]}"] = report.outcome


def pytest_sessionfinish() -> None:
    Path(os.environ["RESULTS"]).write_text(json.dumps(results))
