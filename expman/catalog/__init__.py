"""Many runs as one table: derived from the runs' directories, and never needed.

`open(base_dir)` returns a table with one row per run, live ones included. `build(base_dir)` brings
the files of the catalog up to date, which make it, `expman.runs` and `expman.vectors` quick.
`mirror(base_dir, url)` copies runs to an object store.
"""

from __future__ import annotations

from expman.catalog.build import CatalogReport, build
from expman.catalog.mirror import MirrorReport, mirror
from expman.catalog.summaries import open_table as open

__all__ = ["CatalogReport", "MirrorReport", "build", "mirror", "open"]
