"""Makes neptune/: Parquet files with the columns and names that neptune-exporter writes.

The service is gone, so the rows are made here, after the exporter's published description of its
files (README, "Parquet schema"). Run with an environment that has pyarrow.
"""

from __future__ import annotations

import shutil
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

HERE = Path(__file__).parent / "neptune"
T0 = datetime(2025, 1, 31, 12, tzinfo=UTC)
SCHEMA = pa.schema(
    [
        *((name, pa.string()) for name in ("project_id", "run_id")),
        *((name, pa.string()) for name in ("attribute_path", "attribute_type")),
        ("step", pa.decimal128(18, 6)),
        ("timestamp", pa.timestamp("ms", tz="UTC")),
        ("int_value", pa.int64()),
        ("float_value", pa.float64()),
        ("string_value", pa.string()),
        ("bool_value", pa.bool_()),
        ("datetime_value", pa.timestamp("ms", tz="UTC")),
        ("string_set_value", pa.list_(pa.string())),
        ("file_value", pa.struct([("path", pa.string())])),
        (
            "histogram_value",
            pa.struct(
                [
                    ("type", pa.string()),
                    ("edges", pa.list_(pa.float64())),
                    ("values", pa.list_(pa.float64())),
                ]
            ),
        ),
    ]
)


def row(path: str, kind: str, value: Any, step: str | None = None, at: float = 0) -> dict[str, Any]:
    """One value; only series have a step and a time."""
    column = {"float_series": "float", "string_series": "string", "file_series": "file"}.get(kind)
    column = {"histogram_series": "histogram"}.get(kind, column or kind) + "_value"
    found: dict[str, Any] = {"project_id": "lab/digits", "run_id": "RUN-1"}
    found |= {"attribute_path": path, "attribute_type": kind, column: value}
    if step is not None:
        found |= {"step": Decimal(step), "timestamp": T0 + timedelta(seconds=at)}
    return found


def write(rows: list[dict[str, Any]], name: str) -> None:
    """Writes a part."""
    path = HERE / "data" / "lab_digits-0123456789abcdef" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows, SCHEMA), path, compression="snappy")


shutil.rmtree(HERE, ignore_errors=True)
first = [
    row("parameters/lr", "float", 0.1),
    row("parameters/layers", "int", 3),
    row("parameters/fast", "bool", True),
    row("parameters/name", "string", "größer"),
    row("sys/creation_time", "datetime", T0 - timedelta(seconds=1)),
    row("sys/description", "string", "a try"),
    row("sys/name", "string", "night"),
    row("sys/tags", "string_set", ["a", "b"]),
    row("sys/failed", "bool", True),
    row("sys/owner", "string", "me"),
    *(row("train/loss", "float_series", 1 / (n + 1), f"{n}", n) for n in range(4)),
]
second = [
    *(row("train/acc", "float_series", n / 10, f"{n}", n + 0.001) for n in range(4)),
    row("half", "float_series", 7.0, "1.5", 10),
    row("note", "string_series", "hello", "2", 2),
    row("monitoring/1/stdout", "string_series", "printed\n", "0", 1),
    row("monitoring/1/cpu", "float_series", 12.5, "0", 1),
    row("h", "histogram_series", {"type": "COUNTING", "edges": [0, 1, 2], "values": [3, 4]}, "1"),
    row("model", "file", {"path": "RUN-1/model.txt"}),
    row("pictures", "file_series", {"path": "RUN-1/pictures/0.png"}, "3", 3),
    row("gone", "file", {"path": "RUN-1/gone.bin"}),
    row("odd", "unknown_kind", None) | {"unknown_kind_value": None},
]
second[-1].pop("unknown_kind_value")
write(first, "RUN-1-0123456789abcdef_part_0.parquet")
write(second, "RUN-1-0123456789abcdef_part_1.parquet")
write(second, "RUN-2-0123456789abcdef_part_1.parquet")
files = HERE / "files" / "lab_digits-0123456789abcdef" / "RUN-1"
(files / "pictures").mkdir(parents=True)
(files / "model.txt").write_text("weights")
(files / "pictures" / "0.png").write_bytes(b"\x89PNG\r\n\x1a\n")
