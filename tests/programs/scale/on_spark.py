"""The job of docs/how-to/many-runs.md with Spark, and then all rows: on_spark.py RECIPE ANSWER.

Runs where `experiments` is. Writes what it has found to the file ANSWER, as JSON.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

known: dict[str, Any] = {}
exec(Path(sys.argv[1]).read_text(), known)
report, spark, vectors = known["report"], known["spark"], known["vectors"]
counts = [report.runs, report.parts, report.compacted, report.live]
rows = vectors(spark, "experiments", chunk_runs=20)
every = [row.asDict() for row in rows.drop("timestamp").collect()]
nothing = vectors(spark, "experiments", experiment="none").count()
answer = [counts, {row[0]: row[1] for row in known["found"]}, rows.columns, every, nothing]
Path(sys.argv[2]).write_text(json.dumps(answer))
spark.stop()
