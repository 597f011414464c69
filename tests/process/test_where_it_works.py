"""Logging works wherever Python code runs, and the writer finds what the trainer has."""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
import venv
import zipapp
from pathlib import Path

import pytest
from process.runs import only_run, read_rows, run_yaml

from expman import Run

PROGRAM = Path(__file__).parents[1] / "programs" / "log_three_rows.py"
TRAP = """import os
with open({mark!r}, "a") as mark:
    mark.write(f"{{__file__}} in {{os.getpid()}}\\n")
raise RuntimeError(f"{{__file__}} was imported")
"""


def package_root(name: str) -> str:
    """The directory that a package is imported from."""
    spec = importlib.util.find_spec(name)
    assert spec is not None
    assert spec.origin is not None
    return str(Path(spec.origin).parents[1])


def check_run(base: Path) -> None:
    """The three rows are there, and the first writer wrote them."""
    run_dir = only_run(base)
    run = run_yaml(run_dir)
    assert ("FINISHED", 0) == (run["status"], run["writer_restarts"])
    assert [0, 1, 2] == read_rows(run_dir)["n"].to_pylist()


@pytest.fixture
def traps(tmp_path: Path):
    """Makes a directory of modules that must not be imported; at the end none has been."""
    mark = tmp_path / "imported"

    def make(directory: Path, *names: str) -> Path:
        directory.mkdir(exist_ok=True)
        for name in names:
            (directory / f"{name}.py").write_text(TRAP.format(mark=str(mark)))
        return directory

    yield make
    assert not mark.exists(), mark.read_text()


@pytest.fixture
def bare_python(tmp_path: Path) -> str:
    """An interpreter without any package."""
    venv.create(tmp_path / "bare", symlinks=True)
    return str(tmp_path / "bare" / "bin" / "python")


@pytest.mark.parametrize("options", ["", "-P", "-I", "-Es", "-OO", "-Werror", "-Xdev"])
def test_script_without_guard(program, run_base: Path, options: str) -> None:
    """A script needs no `__main__` guard, whatever the interpreter's options."""
    command = [options, str(PROGRAM)] if options else [str(PROGRAM)]
    trainer = program(command, run_base)
    assert "logged\n" == trainer.succeed()
    assert "" == trainer.stderr
    check_run(run_base)


HOSTILE_ENVIRONMENT = {
    "PYTHONHOME": "/nonexistent",
    "PYTHONPATH": "/nonexistent",
    "PYTHONSTARTUP": "/nonexistent",
    "PYTHONINSPECT": "1",
    "PYTHONHASHSEED": "nonsense",
    "PYTHONWARNINGS": "error",
}


def test_variables_that_the_trainer_ignores(program, run_base: Path) -> None:
    """A trainer under `-E` works whatever the variables say, and so does its writer."""
    program(["-E", str(PROGRAM)], run_base, env=HOSTILE_ENVIRONMENT).succeed()
    check_run(run_base)


def test_variables_that_the_trainer_sets(program, run_base: Path) -> None:
    """What a program sets for children of its own does not keep the writer from starting."""
    settings = HOSTILE_ENVIRONMENT | {"PYTHONHASHSEED": "0"}
    code = f"import os; os.environ.update({settings!r})\n"
    program(["-c", code + PROGRAM.read_text()], run_base).succeed()
    check_run(run_base)


def test_trainer_without_site_packages(program, run_base: Path) -> None:
    """`-S` works where the trainer finds its packages by itself."""
    code = f"import sys; sys.path += {[package_root('expman'), package_root('pyarrow')]!r}\n"
    program(["-S", "-c", code + PROGRAM.read_text()], run_base).succeed()
    check_run(run_base)


@pytest.mark.parametrize("length", [400_000, 8_000_000])
def test_long_search_path(program, run_base: Path, length: int) -> None:
    """`sys.path` may be longer than an argument (128 KiB) and than all of them together."""
    code = f"import sys; sys.path += [f'/{{n:07}}/' + 990 * 'x' for n in range({length // 1000})]\n"
    program(["-c", code + PROGRAM.read_text()], run_base).succeed()
    check_run(run_base)


@pytest.mark.parametrize("executable", ["None", "''", "'/bin/false'", "'/nonexistent/python'"])
def test_program_that_embeds_python(program, run_base: Path, executable: str) -> None:
    """Where `sys.executable` is not a Python, the one of this installation runs the writer."""
    code = f"import sys; sys.executable = {executable}\n"
    program(["-c", code + PROGRAM.read_text()], run_base).succeed()
    check_run(run_base)


FROZEN = """
import sys
sys.frozen, sys.prefix, sys.exec_prefix, sys.base_exec_prefix = True, *3 * ["/nonexistent"]
from expman import ConfigError
try:
    {program}
except ConfigError as exc:
    print(exc)
"""


def test_frozen_application(program, run_base: Path, shared_writer) -> None:
    """It never starts itself: it names what to set, works once that is set, or shares a writer."""
    code = FROZEN.format(program=PROGRAM.read_text().replace("\n", "\n    "))
    said = program(["-c", code], run_base).succeed()
    assert f"python={sys.executable!r}: " in said
    assert "ExperimentConfig(python=…) or EXPMAN_PYTHON" in said
    assert not run_base.exists()
    program(["-c", code], run_base, env={"EXPMAN_PYTHON": sys.executable}).succeed()
    check_run(run_base)
    other = run_base.with_name("other")
    program(["-c", code], other, env=shared_writer().env).succeed()
    check_run(other)


@pytest.mark.parametrize("named", ["/nonexistent/python", "/etc/passwd", "/"])
def test_interpreter_that_is_named_and_cannot_be(program, run_base: Path, named: str) -> None:
    """An error at once, with the variable and its value, and no directory."""
    ended = program(PROGRAM.name, run_base, env={"EXPMAN_PYTHON": named})
    assert 1 == ended.wait()
    assert f"EXPMAN_PYTHON={named!r}: must be the path of an executable" in ended.stderr
    assert not run_base.exists()


def test_working_directory_that_is_not_text(program, run_base: Path, tmp_path: Path) -> None:
    """The run's path must be UTF-8; the working directory and the search path need not."""
    cwd = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff"))
    cwd.mkdir()
    program(PROGRAM.name, run_base, cwd=cwd, env={"PYTHONPATH": str(cwd)}).succeed()
    check_run(run_base)
    ended = program(PROGRAM.name, "runs", cwd=cwd)
    assert 1 == ended.wait()
    assert "base_dir='runs': the working directory" in ended.stderr
    assert not (cwd / "runs").exists()


def test_ascii_locale(program, run_base: Path, tmp_path: Path) -> None:
    """With an ASCII locale, directories on the way to the packages may have other names."""
    here = tmp_path / "größer"
    shutil.copytree(Path(package_root("expman"), "expman"), here / "expman")
    env = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONPATH": str(here)}
    program(PROGRAM.name, run_base, env=env, cwd=here).succeed()
    check_run(run_base)


def test_limits_of_the_trainer(program, run_base: Path) -> None:
    """A trainer's soft limits of memory and time are not the writer's."""
    code = (
        "import resource\n"
        "resource.setrlimit(resource.RLIMIT_AS, (400 << 20, resource.RLIM_INFINITY))\n"
        "resource.setrlimit(resource.RLIMIT_CPU, (1, resource.RLIM_INFINITY))\n"
    )
    program(["-c", code + PROGRAM.read_text()], run_base).succeed()
    check_run(run_base)


NO_PROCESS_AT_FIRST = """
import errno, os, sys
tries = []
def deny(event, arguments):
    if event == "subprocess.Popen":
        tries.append(event)
        if len(tries) <= 2:
            raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))
sys.addaudithook(deny)
"""


def test_no_process_can_be_started_at_first(program, run_base: Path) -> None:
    """With no process to be had for a moment (RLIMIT_NPROC), starting the writer is tried again."""
    program(["-c", NO_PROCESS_AT_FIRST + PROGRAM.read_text()], run_base).succeed()
    check_run(run_base)


def test_no_thread_can_be_started(program, run_base: Path) -> None:
    """The constructor raises, and neither a directory, a process nor memory stays."""
    code = "import threading; threading.stack_size(2**46)\n"
    ended = program(["-c", code + PROGRAM.read_text()], run_base)
    assert 1 == ended.wait()
    assert "ExpmanError: run " in ended.stderr
    assert "no thread can be started to watch the writer" in ended.stderr
    assert [] == list(run_base.glob("*/*"))


def test_code_on_the_command_line(program, run_base: Path) -> None:
    """`python -c` works."""
    program(["-c", PROGRAM.read_text()], run_base).succeed()
    check_run(run_base)


def test_code_from_standard_input(program, run_base: Path) -> None:
    """`python - < script` works."""
    trainer = program(["-"], run_base)
    trainer.send_line(PROGRAM.read_text())
    trainer.close_stdin()
    trainer.succeed()
    check_run(run_base)


@pytest.mark.interop
def test_notebook(program, run_base: Path, tmp_path: Path) -> None:
    """A notebook's cells can log, and what each of them prints is recorded."""
    places = {name: str(tmp_path / name) for name in ("IPYTHONDIR", "JUPYTER_RUNTIME_DIR", "HOME")}
    assert "logged\n" == program("log_in_notebook.py", run_base, env=places).succeed()
    check_run(run_base)
    lines = [line.text for line in Run(only_run(run_base)).console() if line.stream == "out"]
    assert [f"cell {n}" for n in range(3)] == lines


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_daemonic_child(program, run_base: Path, method: str) -> None:
    """A daemonic child of multiprocessing can own a run."""
    program("log_in_child.py", run_base, method).succeed()
    check_run(run_base)


def test_removed_working_directory(program, run_base: Path) -> None:
    """A trainer whose working directory is gone can log to an absolute path."""
    program("log_without_directory.py", run_base).succeed()
    check_run(run_base)


@pytest.mark.parametrize("name", ["log_three_rows.py", "log_with_stray_output.py"])
def test_closed_standard_streams(program, run_base: Path, name: str) -> None:
    """Standard streams may be closed; what goes to their numbers does not reach shared memory."""
    script = 'exec "$0" "$@" <&- >&- 2>&-'
    program(
        ["-c", script, sys.executable, str(PROGRAM.parent / name)], run_base, python="/bin/sh"
    ).succeed()
    check_run(run_base)


def test_modules_of_the_working_directory(program, run_base: Path, tmp_path: Path, traps) -> None:
    """The writer imports nothing that happens to lie in the working directory."""
    cwd = traps(tmp_path / "cwd", "expman", "yaml", "pyarrow", "msgspec", "argparse", "random")
    program("log_three_rows.py", run_base, cwd=cwd).succeed()
    check_run(run_base)


@pytest.mark.parametrize("path", [".", ":", "{cwd}"])
def test_working_directory_on_the_path(
    program, run_base: Path, tmp_path: Path, traps, path: str
) -> None:
    """Not even if PYTHONPATH names the working directory."""
    cwd = traps(tmp_path / "cwd", "yaml", "pyarrow", "gc")
    env = {"PYTHONPATH": path.format(cwd=cwd)}
    program("log_three_rows.py", run_base, cwd=cwd, env=env).succeed()
    check_run(run_base)


def test_modules_beside_the_script(program, run_base: Path, tmp_path: Path, traps) -> None:
    """The writer imports nothing that happens to lie beside the trainer's script."""
    beside = traps(tmp_path / "scripts", "yaml", "pyarrow")
    shutil.copy(PROGRAM, beside)
    program([str(beside / PROGRAM.name)], run_base).succeed()
    check_run(run_base)


def test_isolated_trainer(program, run_base: Path, tmp_path: Path, traps) -> None:
    """The writer of a trainer that ignores PYTHONPATH ignores it, too."""
    path = traps(tmp_path / "path", "expman", "yaml", "pyarrow", "msgspec")
    program(["-I", str(PROGRAM)], run_base, env={"PYTHONPATH": str(path)}).succeed()
    check_run(run_base)


def test_packages_from_pythonpath_only(program, run_base: Path, bare_python: str) -> None:
    """Everything may come from PYTHONPATH."""
    path = ":".join([package_root("expman"), package_root("pyarrow")])
    program(PROGRAM.name, run_base, python=bare_python, env={"PYTHONPATH": path}).succeed()
    check_run(run_base)


def test_packages_from_sys_path_only(program, run_base: Path, bare_python: str) -> None:
    """Everything may come from directories that the trainer itself put on its path."""
    code = f"import sys; sys.path += {[package_root('expman'), package_root('pyarrow')]!r}\n"
    program(["-c", code + PROGRAM.read_text()], run_base, python=bare_python).succeed()
    check_run(run_base)


def test_writer_has_the_trainers_expman(program, run_base: Path, tmp_path: Path, traps) -> None:
    """If several are installed, the writer runs the same expman as the trainer."""
    other = traps(tmp_path / "other", "expman")
    code = f"import sys; sys.path.insert(0, {package_root('expman')!r})\n"
    env = {"PYTHONPATH": str(other)}
    program(["-c", code + PROGRAM.read_text()], run_base, env=env).succeed()
    check_run(run_base)


def test_zipped_application(program, run_base: Path, tmp_path: Path) -> None:
    """expman may be in the zip file that the trainer runs from."""
    source = tmp_path / "source"
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(Path(package_root("expman"), "expman"), source / "expman", ignore=ignored)
    shutil.copy(PROGRAM, source / "__main__.py")
    zipapp.create_archive(source, tmp_path / "app.pyz")
    shutil.rmtree(source)
    program([str(tmp_path / "app.pyz")], run_base).succeed()
    check_run(run_base)
