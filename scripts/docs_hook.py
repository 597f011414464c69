"""A hook of mkdocs: after the build, every public name has its place in the API reference."""

from __future__ import annotations

import ast
import zlib
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]


def on_post_build(config: Any) -> None:
    """Compares `expman.__all__` with the names that the built reference documents."""
    documented = _documented(Path(config.site_dir, "objects.inv"))
    missing = [name for name in _public_names() if f"expman.{name}" not in documented]
    if missing:
        raise SystemExit(f"not in the built API reference: {', '.join(missing)}")


def _public_names() -> list[str]:
    """The names of `expman.__all__`, read without importing the package."""
    for node in ast.parse((ROOT / "expman" / "__init__.py").read_text()).body:
        if isinstance(node, ast.Assign) and "__all__" in map(ast.unparse, node.targets):
            names: list[str] = ast.literal_eval(node.value)
            return [name for name in names if not name.startswith("__")]
    raise SystemExit("expman/__init__.py has no __all__")


def _documented(inventory: Path) -> set[str]:
    """Names in a Sphinx inventory: four lines of text, then compressed lines."""
    body = inventory.read_bytes().split(b"\n", 4)[4]
    return {line.split(" ", 1)[0] for line in zlib.decompress(body).decode().splitlines()}
