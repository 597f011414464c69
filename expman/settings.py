"""The table of settings: everything that a run can be started with, declared once.

`ExperimentConfig`, `Experiment` and `init` repeat the names, so that editors know them;
`tests/unit/test_settings.py` proves that they agree with the table, and the reference page is made
from it. An argument counts before the environment variable, and that
before the default.
"""

from __future__ import annotations

import functools
import os
import sys
from typing import Any

from expman import checks
from expman.errors import ConfigError
from expman.setting import (
    IntDefault,
    Setting,
    TextDefault,
    TupleDefault,
    read_flag,
    read_list,
    read_number,
)

__all__ = ["SETTINGS", "resolve"]

MIN_BUFFER_BYTES = 64 * 1024
# None or '' where Python is embedded; a path may have bytes that are not UTF-8.
_INTERPRETER = (sys.executable or "").encode("utf-8", "backslashreplace").decode()


NAME = TextDefault("")
BASE_DIR = TextDefault("experiments")
FLUSH_INTERVAL_ROWS = IntDefault(50)
FLUSH_INTERVAL_MS = IntDefault(500)
HEARTBEAT_INTERVAL_SECS = IntDefault(30)
HANG_AFTER_S = IntDefault(300)
TAGS = TupleDefault()
LANGUAGE = TextDefault("python")
ENV_PATH = TextDefault("")
MAX_BUFFER_BYTES = IntDefault(64 * 1024 * 1024)
OVERFLOW: Any = TextDefault("block")
RESUME: Any = TextDefault("never")


_TABLE = (
    Setting(
        name="name",
        type="str",
        default=NAME,
        check=checks.check_new_name,
        variable="EXPMAN_EXPERIMENT",
        meaning="The experiment's name, one directory name. Required, here or in the variable.",
        recorded="run.yaml: experiment; directory",
        place=0,
    ),
    Setting(
        name="run_name",
        type="str",
        check=checks.check_new_name,
        variable="EXPMAN_RUN_NAME",
        meaning="The run's directory name; by default the local time as YYYYmmdd_HHMMSS. It cannot "
        "be `latest`, which stands for the newest run. Ranks above 0 add -rankN.",
        recorded="run.yaml: name; directory",
        place=1,
    ),
    Setting(
        name="base_dir",
        type="str | os.PathLike[str]",
        default=BASE_DIR,
        check=checks.check_directory,
        variable="EXPMAN_BASE_DIR",
        meaning="Directory that holds all experiments.",
        recorded="directory",
        place=2,
    ),
    Setting(
        name="flush_interval_rows",
        type="int",
        default=FLUSH_INTERVAL_ROWS,
        check=checks.check_count,
        read=read_number,
        variable="EXPMAN_FLUSH_INTERVAL_ROWS",
        meaning="Rows after which the writer writes to disk; not sooner than 50 ms after the last "
        "time, nor so often that it takes 2 % of a core, unless many wait.",
        place=3,
    ),
    Setting(
        name="flush_interval_ms",
        type="int",
        default=FLUSH_INTERVAL_MS,
        check=checks.check_count,
        read=read_number,
        variable="EXPMAN_FLUSH_INTERVAL_MS",
        meaning="Milliseconds after which the writer writes whatever there is.",
        place=4,
    ),
    Setting(
        name="redirect_console",
        type='bool | Literal["wrap", "fd"]',
        check=checks.check_console,
        read=read_flag,
        variable="EXPMAN_REDIRECT_CONSOLE",
        meaning='Record what Python prints to stdout and stderr; "fd": and what C libraries and '
        'child processes print. "wrap" means True. By default an Experiment records it, a '
        "LoggingEngine does not.",
        recorded="console.log",
        place=5,
    ),
    Setting(
        name="project",
        type="str",
        check=checks.check_project,
        variable="EXPMAN_PROJECT",
        meaning="The project that the run belongs to.",
        recorded="run.yaml: project",
        place=6,
    ),
    Setting(
        name="tags",
        type="Sequence[str]",
        default=TAGS,
        check=checks.check_tags,
        read=read_list,
        variable="EXPMAN_TAGS",
        meaning="Tags of the run; a single string is one tag. The variable holds tags with commas "
        "between them: they are put before those of the argument, and replace none.",
        recorded="run.yaml: tags",
        place=7,
    ),
    Setting(
        name="description",
        type="str",
        variable="EXPMAN_DESCRIPTION",
        meaning="Free text.",
        recorded="run.yaml: description",
        place=8,
    ),
    Setting(
        name="heartbeat_interval_secs",
        type="int",
        default=HEARTBEAT_INTERVAL_SECS,
        check=checks.check_count,
        read=read_number,
        variable="EXPMAN_HEARTBEAT_INTERVAL_SECS",
        meaning="Seconds after which `heartbeat_at` of run.yaml is renewed while the run lives.",
        recorded="run.yaml: heartbeat_at",
        place=9,
    ),
    Setting(
        name="group",
        type="str",
        variable="EXPMAN_GROUP",
        meaning="What the runs of one job have in common; by default the job that the launcher "
        "names (torchrun, SLURM, MPI, …).",
        recorded="run.yaml: group",
        place=10,
    ),
    Setting(
        name="rank",
        type="int",
        check=checks.check_rank,
        read=read_number,
        variable="EXPMAN_RANK",
        meaning="The process's number in its job, from 0; by default the one that the launcher "
        "gave it.",
        recorded="run.yaml: rank",
        place=11,
    ),
    Setting(
        name="system_metrics_interval_secs",
        type="int",
        check=checks.check_rank,
        read=read_number,
        variable="EXPMAN_SYSTEM_METRICS_INTERVAL_SECS",
        meaning="Seconds between samples of the machine and the process tree; 0: none. By default "
        "15 for Experiment and init, and 0 for a LoggingEngine.",
        recorded="system.parquet",
        place=12,
    ),
    Setting(
        name="capture_provenance",
        type="bool",
        check=checks.check_flag,
        read=read_flag,
        variable="EXPMAN_CAPTURE_PROVENANCE",
        meaning="Record the code and the environment of the run. By default Experiment and init "
        "do, and a LoggingEngine does not.",
        recorded="provenance.yaml",
        place=13,
    ),
    Setting(
        name="capture_diff",
        type="bool",
        check=checks.check_flag,
        read=read_flag,
        variable="EXPMAN_CAPTURE_DIFF",
        meaning="Record the uncommitted changes and the untracked text files, too, as far as they "
        "are small. By default False.",
        recorded="provenance.yaml: git.diff",
        place=14,
    ),
    Setting(
        name="suffix_if_taken",
        type="bool",
        check=checks.check_flag,
        read=read_flag,
        variable="EXPMAN_SUFFIX_IF_TAKEN",
        meaning="Whether a run whose directory exists already gets a suffix (-1, -2, …) instead "
        "of RunExistsError; by default exactly if no run_name was passed. The name `latest` counts "
        "as taken.",
    ),
    Setting(
        name="language",
        type="str",
        default=LANGUAGE,
        meaning="The language of the program.",
        recorded="run.yaml: language",
    ),
    Setting(
        name="resume",
        type='Literal["never", "allow", "must"]',
        default=RESUME,
        check=lambda label, value: checks.check_choice(label, value, "never", "allow", "must"),
        variable="EXPMAN_RESUME",
        meaning='What becomes of a run that exists: "never" raises RunExistsError, "allow" goes on '
        'with it, "must" raises ResumeError if there is none. Needs `run_name`.',
        recorded="run.yaml: attempt, earlier_attempts",
    ),
    Setting(
        name="from_step",
        type="int",
        check=checks.check_rank,
        read=read_number,
        variable="EXPMAN_FROM_STEP",
        meaning="First step of a run that goes on: earlier rows from it on are superseded.",
        recorded="run.yaml: from_step",
    ),
    Setting(
        name="env_path",
        type="str",
        default=ENV_PATH,
        meaning="The interpreter's path; by default that of the one that runs the program.",
        recorded="run.yaml: env_path",
    ),
    Setting(
        name="max_buffer_bytes",
        type="int",
        default=MAX_BUFFER_BYTES,
        check=functools.partial(checks.check_count, least=MIN_BUFFER_BYTES),
        read=read_number,
        variable="EXPMAN_MAX_BUFFER_BYTES",
        meaning="Limit of shared memory per producer, in bytes. Large pictures may take a quarter "
        "of that besides, and 64 MiB at most.",
    ),
    Setting(
        name="overflow",
        type='Literal["block", "drop"]',
        default=OVERFLOW,
        check=lambda label, value: checks.check_choice(label, value, "block", "drop"),
        variable="EXPMAN_OVERFLOW",
        meaning='What a log call does once `max_buffer_bytes` wait: "block" waits for the '
        'writer, "drop" drops the row and counts it.',
        recorded="run.yaml: rows_dropped counts the rows",
    ),
    Setting(
        name="writer",
        type="str",
        variable="EXPMAN_WRITER",
        late=True,
        meaning="Address of a running expman-writer, or path of its ready file, instead of a "
        "writer of the run's own. Where the variable's writer cannot be used, the run warns and "
        "starts its own.",
    ),
    Setting(
        name="python",
        type="str",
        variable="EXPMAN_PYTHON",
        late=True,
        meaning="Path of the interpreter that runs the writer, where sys.executable is not one (a "
        "frozen application, a program that embeds Python).",
    ),
    Setting(
        name="hang_after_s",
        type="int",
        default=HANG_AFTER_S,
        check=checks.check_rank,
        read=read_number,
        variable="EXPMAN_HANG_AFTER_S",
        meaning="Seconds without a row, or 20 times the usual if that is longer, after which the "
        "stacks of all threads are recorded; 0: never, and processes cannot be asked for them.",
        recorded="stacks/, run.log, run.yaml: stalled_since",
    ),
    Setting(
        name="mirror",
        type="str",
        check=checks.check_mirror,
        variable="EXPMAN_MIRROR",
        meaning="URL of an object store (s3://, gs://, az://, file://) to which a process beside "
        "the writer copies the run about once a minute, and at its end. Credentials are those of "
        "the store's own tools.",
        recorded="run.yaml: mirror, mirror_behind",
    ),
    Setting(
        name="quiet",
        type="bool",
        check=checks.check_flag,
        read=read_flag,
        variable="EXPMAN_QUIET",
        meaning="Print nothing. By default Experiment and init print one line to "
        "stderr at the start and one at the end, and a LoggingEngine prints none; workers and "
        "ranks above 0 never do.",
    ),
)

SETTINGS: dict[str, Setting] = {setting.name: setting for setting in _TABLE}
"""The table, by name: first in the order of positional arguments, then the others."""


def resolve(name: str, given: object) -> Any:
    """The value of a setting: the argument's, else its variable's, else the default.

    Args:
        name: of the setting.
        given: the argument; None, or an object of a …Default class, if it was left out.

    Raises:
        ConfigError: naming the setting or the variable, its value and the rule.
    """
    setting = SETTINGS[name]
    is_left_out = (
        given is None
        if setting.default is None
        else isinstance(given, IntDefault | TextDefault | TupleDefault)
    )
    text = os.environ.get(setting.variable or "") if not setting.late else None
    if name == "tags":  # those of a sweep and those of the script belong together
        own = setting.check(name, given)
        swept = setting.check(setting.variable or "", setting.read(text)) if text else ()
        return tuple(dict.fromkeys((*swept, *own))) if swept else own
    if not is_left_out:
        return setting.check(name, given)
    if text:
        return setting.check(setting.variable or "", setting.read(text))
    if setting.default is None:
        return None
    if name == "name":
        rule = f"pass the experiment's name, wandb's project, or set {setting.variable} to it"
        raise ConfigError("name", "", rule)
    return setting.check(name, _INTERPRETER if name == "env_path" else setting.default)
