"""The command line of scripts/bench."""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmark import environments
from benchmark.contestants import ALL, BY_NAME, Contestant
from benchmark.environments import ROOT
from benchmark.jobs import Runner, adopt_orphans
from benchmark.page import TINY as TINY_PAGE
from benchmark.page import PageSizes, measure_page
from benchmark.page_soak import soak_page
from benchmark.plan import FULL, LONG_ROWS, MEASUREMENTS, QUICK, TINY, Sizes
from benchmark.printout import as_text
from benchmark.session import run_session
from benchmark.terminal import measure_terminal

_ROUNDS = {"full": 3, "quick": 2, "tiny": 1}


def main() -> None:
    """Measures, or makes a report of results that are there."""
    options = parse_arguments(sys.argv[1:])
    if options.results_from:
        make_report([load(path) for path in options.results_from], options.report)
        return
    if options.soak:
        for what, result in soak_page(options.soak, options.scratch):
            print(f"| {what} | {result} |", flush=True)
        return
    if options.page:
        for what, result in measure_page(
            TINY_PAGE if options.tiny else PageSizes(), options.scratch
        ):
            print(f"| {what} | {result} |", flush=True)
        return
    if options.terminal:
        for what, result in measure_terminal(options.tiny, options.scratch):
            print(f"| {what} | {result} |", flush=True)
        return
    contestants, measurements = choose(options.only, peers=not options.quick and not options.tiny)
    adopt_orphans()
    with tempfile.TemporaryDirectory(prefix="bench-", dir=options.scratch) as scratch:
        results = run_session(
            contestants,
            measurements,
            sizes_of(options),
            options.rounds,
            Runner(scratch, limit_s=400.0 if options.long else 90.0),
            quick=options.quick or options.tiny,
            limit_s=60 * options.minutes,
        )
    path = save(results, options.results)
    print()
    print(as_text(results))
    print(f"\nraw results: {path}")
    if options.report:
        make_report([results], options.report)


def parse_arguments(arguments: Sequence[str]) -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(
        "scripts/bench",
        description="Measures expman beside its floors and its peers, in interleaved rounds.",
        epilog=f"Measurements: {', '.join(MEASUREMENTS)}. "
        f"Contestants: {', '.join(BY_NAME)}. PYTHON=… selects the interpreter.",
    )
    parser.add_argument("--quick", action="store_true", help="two minutes, no peers")
    parser.add_argument("--tiny", action="store_true", help="to try the harness; says nothing")
    parser.add_argument("--page", action="store_true", help="only what the page costs")
    parser.add_argument(
        "--soak", type=float, metavar="MINUTES", help="only the memory of the page's server"
    )
    parser.add_argument(
        "--terminal", action="store_true", help="only what the command takes with 10,000 runs"
    )
    parser.add_argument("--long", action="store_true", help="also 10,000,000 rows with expman")
    parser.add_argument("--rounds", type=int, help="rounds (3, --quick 2)")
    parser.add_argument(
        "--minutes", type=float, default=30.0, help="nothing begins later, but in round 1 (30)"
    )
    parser.add_argument(
        "--only",
        action="append",
        default=[],
        metavar="NAME",
        help="a measurement or a contestant; may be given several times",
    )
    parser.add_argument(
        "--results", type=Path, default=ROOT / ".cache" / "bench", help="directory for raw results"
    )
    parser.add_argument("--scratch", help="where runs are written (the temporary directory)")
    parser.add_argument(
        "--report", type=Path, metavar="DIR", help="also write tables and plots into DIR"
    )
    parser.add_argument(
        "--from",
        dest="results_from",
        type=Path,
        nargs="+",
        metavar="FILE",
        help="with --report: measure nothing, but take these results; "
        "those of one interpreter count together",
    )
    options = parser.parse_args(arguments)
    if options.results_from and not options.report:
        parser.error("--from needs --report DIR")
    kind = "tiny" if options.tiny else "quick" if options.quick else "full"
    options.rounds = options.rounds or _ROUNDS[kind]
    unknown = [name for name in options.only if name not in MEASUREMENTS and name not in BY_NAME]
    if unknown:
        parser.error(f"no measurement and no contestant: {', '.join(unknown)}")
    return options


def choose(only: Sequence[str], *, peers: bool) -> tuple[list[Contestant], list[str]]:
    """Picks contestants and measurements; a peer that is named takes part in any case."""
    named = [name for name in only if name in BY_NAME]
    contestants = [
        contestant
        for contestant in ALL
        if (contestant.name in named if named else peers or not contestant.packages)
    ]
    return contestants, [name for name in only if name in MEASUREMENTS] or list(MEASUREMENTS)


def sizes_of(options: argparse.Namespace) -> Sizes:
    """Picks the sizes."""
    sizes = TINY if options.tiny else QUICK if options.quick else FULL
    return dataclasses.replace(sizes, ours_whole=(LONG_ROWS,)) if options.long else sizes


def save(results: dict[str, Any], directory: Path) -> Path:
    """Writes raw results; the file's name tells when and with which interpreter."""
    directory.mkdir(parents=True, exist_ok=True)
    moment = results["about"]["at"].replace(":", "").replace("-", "")[:15]
    path = directory / f"{moment}-{environments.tag()}.json"
    path.write_text(json.dumps(results, indent=1))
    return path


def load(path: Path) -> dict[str, Any]:
    """Reads raw results."""
    results: dict[str, Any] = json.loads(path.read_text())
    return results


def make_report(results: list[dict[str, Any]], directory: Path) -> None:
    """Writes the tables and the plots of results into a directory."""
    from benchmark.plots import draw
    from benchmark.report import by_interpreter, write_report

    paths = write_report(results, directory)
    paths += draw(by_interpreter(results)[0], directory)
    print("\n".join(f"wrote {path}" for path in paths))
