"""`expman notebook`: writes a notebook that analyses one run."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
from textwrap import dedent

import click

from expman.cli.output import print_line
from expman.cli.runs import base_dir_option, find_run, run_argument
from expman.reading.run import Run

__all__ = ["command", "document"]


@click.command("notebook", short_help="Write a notebook that analyses a run.")
@run_argument()
@click.option("--output", "-o", type=click.Path(dir_okay=False), help="[default: RUN.ipynb]")
@click.option("--force", is_flag=True, help="Replace an existing notebook.")
@click.option("--open", "launch", is_flag=True, help="Open it in JupyterLab, on localhost.")
@base_dir_option
def command(run: str, output: str | None, force: bool, launch: bool, base_dir: str) -> None:
    """Writes a notebook that analyses RUN, and prints the command that opens it.

    The notebook reads the run's files each time it is executed, so it works for live runs, too.
    """
    found = find_run(run, base_dir)
    path = output or f"{found.name}.ipynb"
    try:
        with open(path, "w" if force else "x", encoding="utf-8") as file:
            json.dump(document(found), file, indent=1, ensure_ascii=False)
            file.write("\n")
    except FileExistsError:
        advice = "replace it with --force, or choose another file with -o"
        raise click.ClickException(f"{path} exists; {advice}") from None
    except OSError as exc:
        raise click.ClickException(f"cannot write {path}: {exc.strerror}") from exc
    # Its token stays on: Jupyter makes one and prints the address that has it.
    opening = ["jupyter", "lab", "--ServerApp.ip=127.0.0.1", path]
    print_line(path)
    if launch:
        if shutil.which("jupyter") is None:
            raise click.ClickException("Jupyter is not installed; run: pip install jupyterlab")
        raise click.exceptions.Exit(subprocess.call(opening))
    print_line(f"open it with: {shlex.join(opening)}")


def document(run: Run) -> dict[str, object]:
    """Returns the notebook in Jupyter's format (nbformat 4.5)."""
    cells = [
        _text(f"# {run.experiment} / {run.name}\n\nRun the cells again to see what is new."),
        _code(
            f"""
            import expman

            run = expman.Run({os.path.abspath(run.path)!r})
            run
            """
        ),
        _text("## Rows\n\nEvery row that is written, those of a live run's last seconds included."),
        _code(
            """
            rows = run.to_pandas()
            rows.tail()
            """
        ),
        _code(
            """
            numbers = rows.select_dtypes("number").drop(columns="step")
            numbers.describe().T
            """
        ),
        _text("## Curves"),
        _code(
            """
            import matplotlib.pyplot as plt

            steps = rows["step"].fillna(rows.index.to_series())
            for name in numbers:
                known = numbers[name].notna()
                if not known.any():
                    continue
                figure, axis = plt.subplots(figsize=(8, 3))
                axis.plot(steps[known], numbers.loc[known, name])
                axis.set(title=name, xlabel="step")
                axis.grid(alpha=0.3)
                plt.show()
            """
        ),
        _text("## Parameters and messages"),
        _code("run.config"),
        _code(
            """
            for entry in run.log()[-20:]:
                print(entry.time, entry.level, entry.message)
            """
        ),
        _text("## Other runs of the experiment"),
        _code(f"expman.runs({_base_dir(run)!r}, experiment=run.experiment)[:10]"),
        _text("## Live\n\nThe run, fresh every second, for five seconds; raise the limit to stay."),
        _code("run.watch(every_s=1, timeout_s=5)"),
    ]
    for number, cell in enumerate(cells):
        cell["id"] = f"cell-{number}"
    return {
        "cells": cells,
        "metadata": {
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            "language_info": {"name": "python"},
        },
        "nbformat": 4,
        "nbformat_minor": 5,
    }


def _base_dir(run: Run) -> str:
    return os.path.dirname(os.path.dirname(os.path.abspath(run.path)))


def _text(source: str) -> dict[str, object]:
    return {"cell_type": "markdown", "metadata": {}, "source": source}


def _code(source: str) -> dict[str, object]:
    return {
        "cell_type": "code",
        "execution_count": None,
        "metadata": {},
        "outputs": [],
        "source": dedent(source).strip(),
    }
