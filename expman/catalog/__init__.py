"""Many runs as one table: derived from the runs' directories, and never needed.

`open(base_dir)` returns a table with one row per run, live ones included. `build(base_dir)` brings
the files of the catalog up to date, which make it, `expman.runs` and `expman.vectors` quick.
"""

from __future__ import annotations

from expman.catalog.build import CatalogReport, build
from expman.catalog.summaries import open_table as open

__all__ = ["CatalogReport", "build", "open"]
