"""The `expman-writer` command."""

from __future__ import annotations

import gc
import os
import resource
import select
import signal
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NoReturn

from expman.errors import ExpmanError, StorageError
from expman.models import reason_of
from expman.storage.memory import limit_memory
from expman.transport import segment
from expman.transport.address import new_address
from expman.transport.hello import Hello
from expman.writer.ready import ReadyFile

if TYPE_CHECKING:
    import argparse

__all__ = ["main", "make_parser"]

_ROOM_BYTES = 64 * 1024
DONE, FAILED, WRONG_USAGE, TAKEN = 0, 1, 2, 3
_EPILOG = """\
Without a command it serves any number of runs of this user on this host until SIGTERM or
SIGINT. Its first line on stdout is EXPMAN_WRITER=ADDRESS: trainers that have this variable
in their environment use this writer instead of starting one of their own.

exit codes: 0 done; 1 something could not be done, and stderr says what; 2 wrong usage;
3 another writer serves the address. `run` has the exit code of its command, 128 + n if
signal n killed it, 127 or 126 if it could not be started.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    try:
        match given:
            case ["serve", "--address", address, "--starter", starter]:
                # As an engine starts it. The parser takes 10 ms, a tenth of the writer's start.
                return _serve(segment.Address.parse(address), starter)
        return _do(given)
    except ExpmanError as exc:
        print(f"expman-writer: {exc}", file=sys.stderr)
        return FAILED


def _do(given: list[str]) -> int:
    given, command = _split_command(given)
    options = _parse(given, is_command_marked=bool(command))
    match options.command:
        case "serve":
            return _serve(segment.Address.parse(options.address), options.starter)
        case "run":
            return _run(command, options)
        case "recover":
            return _recover(options)
        case "take-over":
            return _take_over(options)
        case "mirror":
            return _mirror(options)
        case _:
            return _stand(options)


def _parse(given: list[str], *, is_command_marked: bool) -> argparse.Namespace:
    """Reads the arguments; exits with status 2 and a message if they are wrong."""
    parser = make_parser()
    options, unknown = parser.parse_known_args(given)
    if unknown:
        message = f"unrecognized arguments: {' '.join(unknown)}"
        if options.command == "run" and not is_command_marked:
            message += "; put -- before the command: expman-writer run [OPTIONS] -- COMMAND"
        parser.error(message)
    return options


def make_parser() -> argparse.ArgumentParser:
    """The command line."""
    import argparse

    parser = argparse.ArgumentParser(
        prog="expman-writer",
        description="Writes the files of runs.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    ready = "write ADDRESS to this file once trainers can use it; removed at the end"
    parser.add_argument("--base-dir", metavar="DIR", help="recover stale runs below DIR first")
    parser.add_argument("--ready-file", metavar="PATH", help=ready)
    commands = parser.add_subparsers(dest="command", metavar="command")
    run = commands.add_parser(
        "run",
        help="run a training command whose runs this writer serves",
        usage="expman-writer run [OPTIONS] -- COMMAND [ARGUMENT ...]",
    )
    run.add_argument("--ready-file", metavar="PATH", help=ready)
    run.add_argument(
        "--experiment",
        metavar="NAME",
        help="record the command itself as a run of this experiment, whatever it is: what it "
        "prints, its provenance, samples of the machine, and how it ends",
    )
    run.add_argument("--run-name", metavar="NAME", help="of that run; by default the time")
    run.add_argument("--run-base-dir", metavar="DIR", help="where that run goes")
    recover = commands.add_parser("recover", help="finish runs whose trainer and writer are gone")
    recover.add_argument("base_dir", metavar="BASE_DIR", help="directory of the experiments")
    recover.add_argument("--dry-run", action="store_true", help="only list what would be done")
    recover.add_argument(
        "--any-host",
        action="store_true",
        help="also finish runs of other hosts and users; you know that nobody runs them any more",
    )
    recover.add_argument(
        "--discard",
        action="store_true",
        help="remove the shared memory of dead runs, with the rows that are in no file yet",
    )
    take_over = commands.add_parser(
        "take-over", help="end the last attempt of a run and begin the next one (for engines)"
    )
    take_over.add_argument("run_dir", metavar="RUN_DIR", help="the run's directory")
    take_over.add_argument("--pid", type=int, required=True, help="of the new owner")
    take_over.add_argument("--from-step", type=int, help="supersede rows from this step on")
    mirror = commands.add_parser("mirror", help="copy a run to a store until it ends (for writers)")
    mirror.add_argument("run_dir", metavar="RUN_DIR", help="the run's directory")
    mirror.add_argument("url", metavar="URL", help="s3://BUCKET/PREFIX and the like")
    serve = commands.add_parser("serve", help="serve one address until its runs end (for engines)")
    serve.add_argument("--address", required=True, help="shm:TOKEN or DIRECTORY:TOKEN")
    serve.add_argument("--starter", default="", help=argparse.SUPPRESS)
    return parser


def _split_command(given: list[str]) -> tuple[list[str], list[str]]:
    """Separates the arguments of `run` from the command behind `--`."""
    if given[:1] != ["run"] or "--" not in given:
        return given, []
    mark = given.index("--")
    return given[:mark], given[mark + 1 :]


def _serve(address: segment.Address, starter: str) -> int:
    """Runs the writer of one engine; the starter is its process, see `mark_of`."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    _raise_limits()
    _begin()
    from expman.writer.held import AddressTakenError
    from expman.writer.server import Server

    _prepare()
    try:
        server = Server(address, starter=starter, on_run=_beside_runs())
        signal.signal(signal.SIGTERM, server.stop_soon)
        server.serve()
    except FileNotFoundError:
        return DONE  # the run has ended meanwhile
    except AddressTakenError:
        return TAKEN
    os._exit(DONE)  # everything is written; skip the interpreter's tear-down


def _beside_runs() -> Callable[[Hello], None]:
    """Returns what is to be started for a run that is found."""
    from expman.writer.mirror_command import start_mirror
    from expman.writer.recover_soon import RecoverSoon

    recover_soon = RecoverSoon()

    def begin(hello: Hello) -> None:
        recover_soon(hello.base_dir)
        start_mirror(hello)

    return begin


def _mirror(options: argparse.Namespace) -> int:
    """Copies a run to an object store, beside its writer."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    limit_memory(stores=True)
    from expman.writer.mirror_command import mirror_run

    code = DONE if mirror_run(options.run_dir, options.url) else FAILED
    os._exit(code)  # threads of a store's client do not hold it up


def _stand(options: argparse.Namespace) -> int:
    """Runs a standing writer."""
    _begin()
    from expman.writer.server import Server

    _prepare()
    address = _new_address()
    server = Server(address, standing=True, on_run=_beside_runs())
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, server.stop_soon)
    print(f"EXPMAN_WRITER={address}", flush=True)
    try:
        with ReadyFile(options.ready_file, address):
            if options.base_dir is not None:
                from expman.writer.recover import recover

                for line in recover(options.base_dir):
                    print(f"expman-writer: {line}", file=sys.stderr)
            server.serve()
    except StorageError:  # the ready file's: nobody can find this writer, or it has ended
        server.remove_address()
        raise
    return DONE


def _run(command: list[str], options: argparse.Namespace) -> int:
    if not command:
        print("expman-writer run: put the command behind --", file=sys.stderr)
        return WRONG_USAGE
    if options.experiment is not None:
        _record(command, options)
    limit_memory()
    from expman.writer.run_command import run_command

    address = _new_address()
    try:
        with ReadyFile(options.ready_file, address):
            return run_command(address, command)
    except StorageError:
        segment.remove(address.place, address.segment())
        raise


def _record(command: list[str], options: argparse.Namespace) -> NoReturn:
    """Becomes the process that records the command. Its run has a writer of its own."""
    settings = {
        "name": options.experiment,
        "run_name": options.run_name,
        "base_dir": options.run_base_dir,
    }
    given = [f"{name}={value}" for name, value in settings.items() if value is not None]
    program = [sys.executable, "-P", "-m", "expman.recorded_command", *given, "--", *command]
    os.execv(program[0], program)


def _recover(options: argparse.Namespace) -> int:
    _begin()
    from expman.writer.recover import recover

    _prepare()
    code = DONE
    for line in recover(
        options.base_dir,
        dry_run=options.dry_run,
        any_host=options.any_host,
        discard=options.discard,
    ):
        print(line, file=sys.stdout if line.ok else sys.stderr, flush=True)
        code = code if line.ok else FAILED
    return code


def _take_over(options: argparse.Namespace) -> int:
    _begin()
    from expman.writer.take_over import take_over

    _prepare()
    try:
        attempt = take_over(
            options.run_dir, options.pid, options.from_step, is_called_off=_has_no_reader
        )
        print(attempt, flush=True)
    except ExpmanError:
        raise
    except Exception as exc:  # noqa: BLE001 - the engine raises it
        print(f"expman-writer: {reason_of(exc)}", file=sys.stderr)
        return FAILED
    return DONE


def _has_no_reader() -> bool:
    """True if the engine that reads our answer through a pipe has gone."""
    ready = select.poll()
    ready.register(1, 0)
    return any(events & select.POLLERR for _, events in ready.poll(0))


def _raise_limits() -> None:
    """The trainer's limits of memory and time are its own; pyarrow alone may need more."""
    for limit in (resource.RLIMIT_AS, resource.RLIMIT_DATA, resource.RLIMIT_CPU):
        _, most = resource.getrlimit(limit)
        resource.setrlimit(limit, (most, most))


def _begin() -> None:
    """Before the imports: pyarrow as this process uses it; no garbage is collected meanwhile."""
    gc.disable()  # it would look 40 times through what stays for good
    limit_memory()


def _prepare() -> None:
    """After the imports."""
    gc.freeze()
    gc.enable()
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))  # a lane needs about six


def _new_address() -> segment.Address:
    address, base = new_address(_ROOM_BYTES)
    base.close()
    return address
