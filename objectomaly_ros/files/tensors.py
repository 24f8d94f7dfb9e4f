"""Reads and writes safetensors files with NumPy alone.

The format (github.com/huggingface/safetensors): the length of a JSON header as 8 bytes, the header,
and the raw values. The library of that name would be a dependency of the light profile, and Ubuntu
24.04 does not have it.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from objectomaly_ros.files.reading import read_bytes
from objectomaly_ros.files.writing import open_replacing

_DTYPES: dict[str, np.dtype[Any]] = {"F16": np.dtype("<f2"), "F32": np.dtype("<f4")}
_METADATA = "__metadata__"

Array = npt.NDArray[Any]


def write_tensors(
    path: str | PathLike[str], tensors: Mapping[str, Array], metadata: Mapping[str, str]
) -> None:
    """Write float16 and float32 arrays and texts.

    Raises:
        OSError: the file cannot be written.
    """
    names = {dtype: name for name, dtype in _DTYPES.items()}
    header: dict[str, Any] = {_METADATA: dict(metadata)}
    at = 0
    for name, array in tensors.items():
        header[name] = {
            "dtype": names[array.dtype],
            "shape": list(array.shape),
            "data_offsets": [at, at + array.nbytes],
        }
        at += array.nbytes
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open_replacing(path) as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for array in tensors.values():
            file.write(np.ascontiguousarray(array).tobytes())


def read_tensors(path: str | PathLike[str], limit: int) -> tuple[dict[str, Array], dict[str, str]]:
    """Read the arrays and texts of a file of at most `limit` bytes.

    Raises:
        OSError: there is no such file.
        ValueError: it is larger, damaged, or holds other types than float16 and float32.
    """
    data = read_bytes(path, limit)
    try:
        (length,) = struct.unpack_from("<Q", data)
        start = 8 + length
        if start > len(data):
            raise ValueError("it ends within its header")
        header = json.loads(data[8:start])
        metadata = {str(key): str(text) for key, text in header.pop(_METADATA, {}).items()}
        tensors = {}
        for name, entry in header.items():
            dtype, shape = _DTYPES[entry["dtype"]], [int(side) for side in entry["shape"]]
            begin, end = (start + int(offset) for offset in entry["data_offsets"])
            fits = start <= begin and end <= len(data) and min(shape, default=0) >= 0
            if not fits or end - begin != math.prod(shape) * dtype.itemsize:
                raise ValueError(f"{name} does not fit into it")
            tensors[name] = np.frombuffer(data[begin:end], dtype).reshape(shape)
    except (AttributeError, KeyError, RecursionError, TypeError, ValueError, struct.error) as error:
        raise ValueError(f"{Path(path)} is no safetensors file of ours: {error}") from error
    return tensors, metadata
