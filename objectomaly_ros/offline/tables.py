"""The obstacles of all recordings as files to query: JSON lines, and Parquet with pyarrow."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from objectomaly_ros.files.writing import open_replacing, replacing
from objectomaly_ros.offline.tasks import Place

_NAME = "obstacles"
_FLOATS = ("score", "max_score", "range_m", "range_std_m", "height_m")


def write_tables(out: Path, places: Sequence[Place]) -> list[Path]:
    """Join the obstacle tables of recordings that are done; return the files.

    Raises:
        OSError: a file cannot be read or written.
    """
    lines = out / f"{_NAME}.jsonl"
    with open_replacing(lines) as file:
        for place in places:
            with place.table.open("rb") as part:
                shutil.copyfileobj(part, file)
    try:
        import pyarrow
        from pyarrow import json, parquet
    except ModuleNotFoundError:
        return [lines]
    columns = pyarrow.schema(
        [
            *((name, pyarrow.string()) for name in ("recording", "topic", "frame_id")),
            *((name, pyarrow.int64()) for name in ("stamp_ns", "id", "age", "area")),
            *((name, pyarrow.int32()) for name in ("x", "y", "width", "height")),
            *((name, pyarrow.int32()) for name in ("image_width", "image_height")),
            *((name, pyarrow.float32()) for name in _FLOATS),
            ("refined", pyarrow.bool_()),
        ]
    )
    table = out / f"{_NAME}.parquet"
    with replacing(table) as temporary, parquet.ParquetWriter(temporary, columns) as writer:
        if lines.stat().st_size:
            options = json.ParseOptions(explicit_schema=columns)
            for batch in json.open_json(lines, parse_options=options):
                writer.write_batch(batch.select(columns.names))
    return [lines, table]
