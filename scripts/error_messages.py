"""Makes the page of errors: what a user writes, and the message that it raises.

Each message that a program can provoke is provoked here. `scripts/reference` writes the page, and
`tests/docs/test_errors_page.py` compares it with what is made here.
"""

from __future__ import annotations

import inspect
import os
import re
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import expman
from expman import ExperimentConfig, LoggingEngine, errors
from expman.settings import SETTINGS

__all__ = ["errors_page"]

_REMARK = "<!-- Made by scripts/reference, from the code. -->"

Case = tuple[str, Callable[[], object]]


def errors_page() -> str:
    """The page of all errors, with messages as users meet them."""
    with tempfile.TemporaryDirectory() as home:
        before = os.getcwd()
        os.chdir(home)
        variables = {name: os.environ.pop(name) for name in list(os.environ) if _is_ours(name)}
        try:
            sections = [_section(name, cases) for name, cases in _cases().items()]
        finally:
            os.environ.update(variables)
            os.chdir(before)
    tree = (errors.__doc__ or "").split("\n\n")[1]
    return f"""\
# Errors

{_REMARK}

Every error of expman's own is an `ExpmanError`. Its numbers and paths are attributes. A value that
cannot be logged raises Python's `TypeError` or `ValueError`. Trouble of the disk never raises from
a `log_*` call: see [reliability](../reliability.md).

```text
{tree}
```

{"".join(sections).rstrip()}
"""


_BUILTIN = {
    "TypeError": "An argument has a type that cannot be used; nothing was done.",
    "ValueError": "An argument has a value that cannot be used; nothing was done.",
    "AttributeError": "A name that the package does not have.",
}


def _section(name: str, cases: list[Case]) -> str:
    kind = getattr(errors, name, None)
    text = (inspect.getdoc(kind) or "").split("\n\n")[0] if kind else _BUILTIN[name]
    examples = "\n".join(f"{code}\n    {_message(code, call)}\n" for code, call in cases)
    return f"## {name}\n\n{text}\n\n```text\n{examples}```\n\n"


def _message(code: str, call: Callable[[], object]) -> str:
    try:
        call()
    except Exception as exc:  # noqa: BLE001 - whatever it is, it is shown
        text = f"{type(exc).__name__}: {exc}".replace(os.getcwd(), "/home/me")
        return re.sub(r"\b[0-9a-f]{32}\b(#[0-9]+)?", "0123…", text)
    raise SystemExit(f"{code} raises nothing")


def _is_ours(variable: str) -> bool:
    return variable in {setting.variable for setting in SETTINGS.values()} | {"EXPMAN_RUN"}


def _raises(error: Exception) -> Callable[[], None]:
    def call() -> None:
        raise error

    return call


def _cases() -> dict[str, list[Case]]:
    """Error -> what a user writes, and a call that does it."""
    config = ExperimentConfig("digits", run_name="first")
    engine = LoggingEngine(config)
    small = LoggingEngine(ExperimentConfig("digits", run_name="small", max_buffer_bytes=65536))
    own: dict[str, list[Case]] = {
        "ConfigError": _settings_cases(),
        "RunExistsError": [
            ('Experiment("digits", run_name="first")', lambda: LoggingEngine(config))
        ],
        "ResumeError": [
            (
                'Experiment("digits", run_name="typo", resume="must")',
                lambda: LoggingEngine(ExperimentConfig("digits", run_name="typo", resume="must")),
            ),
            (
                'Experiment("digits", run_name="first", resume="allow")  # it is live',
                _raises(
                    errors.ResumeError(
                        "experiments/digits/first", "process 4711 of this host logs into it"
                    )
                ),
            ),
        ],
        "RecordTooLargeError": [
            (
                'engine.log_message("INFO", "x" * 70_000)  # max_buffer_bytes=65536',
                _provoked(lambda: small.log_message("INFO", "x" * 70_000)),
            )
        ],
        "NoActiveRunError": [("expman.log({...})  # no init()", lambda: expman.log({"a": 1}))],
        "SharedMemoryError": [
            (
                "LoggingEngine(config)  # no room in /dev/shm and TMPDIR",
                _raises(
                    errors.SharedMemoryError(
                        1 << 20,
                        ["/dev/shm: No space left on device", "/tmp: No space left on device"],
                    )
                ),
            )
        ],
        "LayoutVersionError": [
            (
                "expman.attach(address)  # another version's",
                _raises(errors.LayoutVersionError("expman-0123…", 3, 2)),
            )
        ],
        "CorruptLaneError": [
            (
                "expman-writer recover experiments  # in run.log",
                _raises(errors.CorruptLaneError("expman-0123…", 128, "the record is cut off")),
            )
        ],
        "StorageError": _storage_cases(),
        "FlushError": [
            (
                "engine.flush()  # the disk is full",
                _raises(
                    errors.FlushError(
                        "experiments/digits/first",
                        "not everything is durable: vectors.parquet: No space left on device",
                        "the data is in shared memory (shm); `expman-writer recover experiments` "
                        "brings it into files",
                    )
                ),
            )
        ],
        "ArtifactError": [
            (
                "engine.flush()  # the file was removed too soon",
                _raises(
                    errors.ArtifactError(
                        "experiments/digits/first", ["model.bin: No such file or directory"], 1
                    )
                ),
            )
        ],
        "TypeError": _type_cases(engine),
        "ValueError": _value_cases(engine),
        "AttributeError": [("expman.lgo", lambda: expman.lgo)],
    }
    for one in (engine, small):
        one.close()
    own["RunClosedError"] = [("engine.log({...})  # after close()", lambda: engine.log({"a": 1}))]
    own["RunEndedError"] = [
        ("expman.attach(address)  # after the run's end", lambda: expman.attach(engine.address))
    ]
    return {name: own[name] for name in _order(own)}


def _order(own: dict[str, list[Case]]) -> Iterator[str]:
    """The classes in the order of the drawn tree, then Python's own."""
    drawn = re.findall(r"─ (\w+)", errors.__doc__ or "")
    missing = {*drawn} - {*own}
    if missing:
        raise SystemExit(f"no case provokes {', '.join(sorted(missing))}")
    yield from drawn
    yield from (name for name in own if name not in drawn)


def _settings_cases() -> list[Case]:
    def with_variable(name: str, text: str) -> Callable[[], object]:
        def call() -> object:
            os.environ[name] = text
            try:
                return ExperimentConfig("digits")
            finally:
                del os.environ[name]

        return call

    many: Any = "many"
    wait: Any = "wait"
    return [
        ('ExperimentConfig("a/b")', lambda: ExperimentConfig("a/b")),
        ("ExperimentConfig()", ExperimentConfig),
        (
            'ExperimentConfig("digits", flush_interval_rows="many")',
            lambda: ExperimentConfig("digits", flush_interval_rows=many),
        ),
        (
            'ExperimentConfig("digits", overflow="wait")',
            lambda: ExperimentConfig("digits", overflow=wait),
        ),
        (
            'ExperimentConfig("digits")  # EXPMAN_RANK=first',
            with_variable("EXPMAN_RANK", "first"),
        ),
        (
            'ExperimentConfig("digits")  # EXPMAN_QUIET=perhaps',
            with_variable("EXPMAN_QUIET", "perhaps"),
        ),
        ('expman.attach("nowhere")', lambda: expman.attach("nowhere")),
        ("expman.attach()  # without EXPMAN_RUN", expman.attach),
    ]


def _storage_cases() -> list[Case]:
    Path("file").touch()
    return [
        (
            'Experiment("digits", base_dir="file")  # file is not a directory',
            lambda: LoggingEngine(ExperimentConfig("digits", "file")),
        )
    ]


def _provoked(call: Callable[[], object]) -> Callable[[], object]:
    """Does it now, while the run is open, and raises it again when it is asked for."""
    try:
        call()
    except Exception as exc:  # noqa: BLE001 - whatever it is, it is shown
        return _raises(exc)
    return lambda: None


def _type_cases(engine: LoggingEngine) -> list[Case]:
    some: Any = [("loss", 1.0)]
    word: Any = "config"
    by_name: Any = engine.log
    cases: list[Case] = [
        ('engine.log({"loss": None})', lambda: engine.log({"loss": None})),
        ('engine.log({"loss": [1.0]})', lambda: engine.log({"loss": [1.0]})),
        ('engine.log([("loss", 1.0)])', lambda: engine.log(some)),
        ("engine.log({1: 1.0})", lambda: by_name({1: 1.0})),
        ('engine.log({"loss": 1.0}, step=1.5)', lambda: by_name({"loss": 1.0}, step=1.5)),
        ('engine.log({"loss": 1.0}, stp=1)', lambda: by_name({"loss": 1.0}, stp=1)),
        ("engine.log_params(3)", lambda: engine.log_params(3)),
        ('engine.flush("config")', lambda: engine.flush(word)),
        ('LoggingEngine("config")', lambda: LoggingEngine(word)),
    ]
    return [(code, _provoked(call)) for code, call in cases]


def _value_cases(engine: LoggingEngine) -> list[Case]:
    cases: list[Case] = [
        ('engine.log({"": 1.0})', lambda: engine.log({"": 1.0})),
        ('engine.log({"step": 1.0})', lambda: engine.log({"step": 1.0})),
        ('engine.log({"loss": 1.0}, step=2**64)', lambda: engine.log({"loss": 1.0}, step=2**64)),
        ('engine.log_message("debug", "hello")', lambda: engine.log_message("debug", "hello")),
        ('engine.close("DONE")', lambda: engine.close("DONE")),
        ('engine.close("RUNNING")', lambda: engine.close("RUNNING")),
        ('engine.save_artifact("../a")', lambda: engine.save_artifact("../a")),
        ('engine.save_artifact("/dev/null")', lambda: engine.save_artifact("/dev/null")),
    ]
    return [(code, _provoked(call)) for code, call in cases]
