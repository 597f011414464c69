"""What a run was: from a repository, from a program, and without either."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from lanes import make_hello

import expman
from expman.models import Program, RunStatus
from expman.storage.provenance import PENDING, read_provenance
from expman.transport.hello import Hello
from expman.writer.files import RunFiles
from expman.writer.samplers import git
from expman.writer.samplers.environment import find_packages, find_scheduler
from expman.writer.samplers.provenance import ProvenanceSampler
from expman.writer.samplers.samples import ProvenanceSample
from expman.writer.samplers.secrets import is_secret_file, mask_arguments, without_credentials
from expman.writer.sinks import provenance

needs_git = pytest.mark.skipif(shutil.which("git") is None, reason="needs git")
HANGS = "#!/bin/sh\ntrap '' TERM\n(trap '' TERM; sleep 600) &\nsleep 600\n"


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Runs git in `tmp_path/code`, a repository with one commit."""
    for variable in ("GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM"):
        monkeypatch.setenv(variable, os.devnull)
    code = tmp_path / "code"
    code.mkdir()

    def run(*command: str) -> str:
        who = ("-c", "user.name=a", "-c", "user.email=a@b")
        return subprocess.check_output(["git", *who, *command], cwd=code, text=True).strip()

    run("init", "--quiet", "--initial-branch=main")
    (code / "train.py").write_text("lr = 1\n")
    run("add", ".")
    run("commit", "--quiet", "--message=first")
    return run


@pytest.fixture
def fake_git(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Puts a script in the place of git."""

    def install(script: str) -> None:
        programs = tmp_path / "bin"
        programs.mkdir()
        (programs / "git").write_text(script)
        (programs / "git").chmod(0o755)
        monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")

    return install


def facts(directory: Path, *, with_diff: bool = False) -> dict[str, object]:
    return dict(git.git_facts(str(directory), with_diff=with_diff))


def hello_of(tmp_path: Path, **changes: object) -> Hello:
    (tmp_path / "lanes" / "run").mkdir(parents=True, exist_ok=True)
    (tmp_path / "code").mkdir(exist_ok=True)
    program = Program(cwd=str(tmp_path / "code"), argv=("train.py", "--hf-token=abc"))
    settings: dict[str, object] = {
        "base_dir": str(tmp_path),
        "pid": os.getpid(),
        "started_at_ns": time.time_ns(),
        "capture_provenance": True,
        "program": program,
    }
    return make_hello(**(settings | changes))


def documents(hello: Hello) -> list[dict[str, object]]:
    found = list(ProvenanceSampler(hello).sample())
    assert all(isinstance(sample, ProvenanceSample) for sample in found)
    return [dict(sample.document) for sample in found]


@needs_git
def test_a_clean_repository(tmp_path: Path, repository: Callable[..., str]) -> None:
    """Commit, branch and remote, without the password that is in its address."""
    repository("remote", "add", "origin", "https://me:secret@example.com/code.git")
    expected = {
        "commit": repository("rev-parse", "HEAD"),
        "branch": "main",
        "remote": "https://example.com/code.git",
        "root": str(tmp_path / "code"),
        "dirty": False,
    }
    assert expected == facts(tmp_path / "code", with_diff=True)


@needs_git
def test_a_diff_that_brings_everything_back(tmp_path: Path, repository: Callable[..., str]) -> None:
    """`git apply` of it makes the changes and the untracked text files again."""
    code = tmp_path / "code"
    (code / "train.py").write_text("lr = 2\n")
    (code / "sub").mkdir()
    (code / "sub" / "new file.py").write_text("x = 1\n")
    found = facts(code, with_diff=True)
    assert found["dirty"]
    repository("reset", "--quiet", "--hard")
    shutil.rmtree(code / "sub")
    patch = tmp_path / "patch"
    patch.write_text(f"{found['diff']}\n")
    repository("apply", str(patch))
    assert "lr = 2\n" == (code / "train.py").read_text()
    assert "x = 1\n" == (code / "sub" / "new file.py").read_text()


@needs_git
def test_what_is_left_out_of_a_diff(tmp_path: Path, repository: Callable[..., str]) -> None:
    """Large and binary files, and those that may hold secrets, are named only."""
    code = tmp_path / "code"
    (code / "train.py").write_text("x" * (git.MOST_DIFF_BYTES + 5000) + "\n")
    for name, data in {
        ".env": b"TOKEN=1\n",
        "data.bin": bytes(range(256)),
        "large.txt": b"y\n" * git.MOST_FILE_BYTES,
    }.items():
        (code / name).write_bytes(data)
    found = facts(code, with_diff=True)
    assert git.MOST_DIFF_BYTES == len(str(found["diff"]))
    assert 5000 <= found["diff_truncated_bytes"] < 6000  # type: ignore[operator]
    assert [".env", "data.bin", "large.txt"] == found["untracked_left_out"]


@needs_git
def test_a_repository_without_a_commit(tmp_path: Path, repository: Callable[..., str]) -> None:
    """There is no commit and no diff; the rest is known."""
    repository("update-ref", "-d", "HEAD")
    found = facts(tmp_path / "code", with_diff=True)
    assert ["branch", "root", "dirty"] == list(found)


@needs_git
def test_a_directory_without_a_repository(tmp_path: Path) -> None:
    """There is nothing to say."""
    assert {} == facts(tmp_path, with_diff=True)


def test_no_git(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The rest is recorded, with a note."""
    monkeypatch.setenv("PATH", str(tmp_path))
    first, last = documents(hello_of(tmp_path))
    assert [PENDING] == first["notes"]
    assert ["git is not installed: the commit is not known"] == last["notes"]
    assert "git" not in last


def test_a_git_that_hangs(
    tmp_path: Path, fake_git: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is ended with all that it has started, and what is known is there before."""
    fake_git(HANGS)
    monkeypatch.setattr(git, "DEADLINE_S", 0.2)
    first, last = documents(hello_of(tmp_path))
    assert first["command"] == last["command"]
    assert ["git has not answered within 0.2 s; it was ended"] == last["notes"]


def test_a_git_that_fails(tmp_path: Path, fake_git: Callable[[str], None]) -> None:
    """Its message is the note."""
    fake_git("#!/bin/sh\necho 'fatal: detected dubious ownership' >&2\nexit 128\n")
    assert ["dubious ownership" in note for note in documents(hello_of(tmp_path))[-1]["notes"]]  # type: ignore[attr-defined]


@needs_git
def test_the_code_is_that_of_the_script(tmp_path: Path, repository: Callable[..., str]) -> None:
    """If the working directory is in no repository, the script's counts."""
    script = str(tmp_path / "code" / "train.py")
    program = Program(cwd=str(tmp_path), argv=(script,))
    found = documents(hello_of(tmp_path, program=program))[-1]
    assert repository("rev-parse", "HEAD") == found["git"]["commit"]  # type: ignore[index]


@needs_git
def test_what_is_recorded(tmp_path: Path, repository: Callable[..., str]) -> None:
    """It is in provenance.yaml with expman-rs's keys, and a successor does not make it anew."""
    hello = hello_of(tmp_path, pid=2**22 + 1)
    files = RunFiles(hello, 0)
    sampler = ProvenanceSampler(hello)
    for sample in sampler.sample():
        files.take_samples([sample])
        assert files.is_due()
        files.commit()
    while not files.settle():
        pass
    files.finish(RunStatus.FINISHED, None)
    files.close()
    found = expman.Run(hello.run_dir).provenance
    assert repository("rev-parse", "HEAD") == found["git"]["commit"]  # type: ignore[index]
    assert str(found["command"]).endswith("train.py '--hf-token=***'")
    assert str(tmp_path / "code") == found["cwd"]
    assert "notes" not in found
    assert [] == list(ProvenanceSampler(hello).sample())


def test_a_successor_completes_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A writer that was killed while git had not answered leaves the rest to the next one."""
    monkeypatch.setattr(provenance, "PATIENCE_S", 0.0)
    monkeypatch.setenv("PATH", str(tmp_path))
    hello = hello_of(tmp_path)
    files = RunFiles(hello, 0)
    first = next(iter(ProvenanceSampler(hello).sample()))
    files.take_samples([first])
    files.commit()
    files.close()
    assert [PENDING] == read_provenance(hello.run_dir)["notes"]
    assert 2 == len(documents(hello))


def test_a_program_that_ended_long_ago(tmp_path: Path) -> None:
    """Its code may have changed since: nothing is recorded."""
    started = time.time_ns() - 3600 * 10**9
    assert [] == documents(hello_of(tmp_path, pid=2**22 + 1, started_at_ns=started))


def test_how_often() -> None:
    """Once, if it is asked for."""
    assert 0 == ProvenanceSampler.spacing_for(make_hello())
    assert float("inf") == ProvenanceSampler.spacing_for(make_hello(capture_provenance=True))


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("--hf-token=abc", "--hf-token=***"),
        ("--password abc --lr 1", "--password *** --lr 1"),
        ("--api_key abc", "--api_key ***"),
        ("+wandb.api_key=abc", "+wandb.api_key=***"),
        ("--token --lr 1", "--token --lr 1"),
        ("--max-tokens 7 --monkey 3", "--max-tokens 7 --monkey 3"),
        ("--url=https://me:abc@host/x", "--url=https://host/x"),
        ("--use hf_aBcDeFgHiJkLmNoPqRs", "--use ***"),
        ("--keys a,b", "--keys a,b"),
    ],
)
def test_secrets_in_a_command(given: str, expected: str) -> None:
    """Values of options that are named like secrets are masked, and what looks like one."""
    assert expected == " ".join(mask_arguments(given.split()))


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("https://token@host/x.git", "https://host/x.git"),
        ("https://a:b@host/x.git", "https://host/x.git"),
        ("ssh://git:pw@host/x.git", "ssh://git@host/x.git"),
        ("git@host:x/y.git", "git@host:x/y.git"),
        ("/srv/x.git", "/srv/x.git"),
    ],
)
def test_credentials_in_an_address(given: str, expected: str) -> None:
    """They are left out; the user of ssh is none."""
    assert expected == without_credentials(given)


def test_files_that_may_hold_secrets() -> None:
    """By their names."""
    assert all(map(is_secret_file, (".env", "a/.env.local", "id_rsa", "x/key.pem", "my_token.txt")))
    assert not any(map(is_secret_file, ("train.py", "environment.yml", "keyboard.py")))


def test_packages_of_another_interpreter(tmp_path: Path) -> None:
    """They are found by the names of their directories; the first on the path counts."""
    for place, name in (
        ("a", "torch-2.4.0+cu121.dist-info"),
        ("b", "torch-1.0.dist-info"),
        ("b", "Scikit_Learn-1.5.dist-info"),
        ("b", "old-0.1-py3.11.egg-info"),
        ("b", "nothing"),
    ):
        (tmp_path / place / name).mkdir(parents=True)
    path = [str(tmp_path / place) for place in ("absent", "a", "b")]
    expected = {"old": "0.1", "scikit-learn": "1.5", "torch": "2.4.0+cu121"}
    assert expected == find_packages(path)


def test_only_known_variables() -> None:
    """An environment has secrets: what is not in the list is not recorded."""
    environ = {"SLURM_JOB_ID": "7", "SLURM_JWT": "secret", "RANK": "0", "AWS_SECRET": "x"}
    assert {"RANK": "0", "SLURM_JOB_ID": "7"} == find_scheduler(environ)
