"""Reads pickles of numpy arrays (detectron2's model zoo) without letting them run code.

A pickle may name any callable of any module. This unpickler resolves none of them by import: it
knows a handful of names and answers each with a function of ours, so a crafted file can build
arrays, numbers and containers, no more.
"""

from __future__ import annotations

import collections
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from objectomaly_ros.checkpoints.errors import CheckpointError


def _empty_array(kind: Any, shape: Any, _typecode: Any) -> npt.NDArray[Any]:
    """The array that numpy's own pickles start from; its data arrive with the state that
    follows.
    """
    if kind is not np.ndarray or tuple(shape) != (0,):
        raise pickle.UnpicklingError(f"an array of kind {kind!r} and shape {shape!r}")
    return np.empty((0,), np.int8)


def _array_from_buffer(
    buffer: Any, dtype: Any, shape: Any, order: Any, *_axis: Any
) -> npt.NDArray[Any]:
    """How pickles of protocol 5 hold an array."""
    return np.frombuffer(buffer, dtype=_dtype(dtype)).reshape(shape, order=order)


def _dtype(spec: Any, *_flags: Any) -> np.dtype[Any]:
    dtype: np.dtype[Any] = np.dtype(spec)
    if dtype.hasobject:
        raise pickle.UnpicklingError("an array of Python objects")
    return dtype


def _scalar(dtype: Any, data: Any = None) -> Any:
    return np.frombuffer(data, dtype=_dtype(dtype))[0]


def _encode(text: Any, encoding: Any = "latin1", *_errors: Any) -> bytes:
    """How protocol 2 holds bytes; only the encoding that it uses."""
    if not isinstance(text, str) or encoding != "latin1":
        raise pickle.UnpicklingError(f"text in the encoding {encoding!r}")
    return text.encode("latin1")


_KNOWN: dict[tuple[str, str], Callable[..., Any]] = {
    ("collections", "OrderedDict"): collections.OrderedDict,
    ("_codecs", "encode"): _encode,
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): _dtype,
}
# numpy 2 moved numpy.core to numpy._core: files written by either must load under either.
for _core in ("numpy.core", "numpy._core"):
    _KNOWN[(f"{_core}.multiarray", "_reconstruct")] = _empty_array
    _KNOWN[(f"{_core}.multiarray", "scalar")] = _scalar
    _KNOWN[(f"{_core}.numeric", "_frombuffer")] = _array_from_buffer


class _ArrayUnpickler(pickle.Unpickler):
    """Resolves the names above and refuses all others."""

    def find_class(self, module: str, name: str) -> Any:
        """Return our own function for a known name; raise for any other."""
        try:
            return _KNOWN[(module, name)]
        except KeyError:
            raise pickle.UnpicklingError(f"the name {module}.{name}") from None


def read_array_pickle(file: BinaryIO, path: Path) -> Any:
    """Read one pickled object made of containers, numbers, text and numpy arrays.

    Args:
        file: open for reading, at the start of the pickle.
        path: its name, for the message.

    Raises:
        CheckpointError: the file is truncated, damaged, or asks for anything else than plain data.
        Nothing that it
            names has been imported or called.
    """
    try:
        return _ArrayUnpickler(file, encoding="latin1").load()
    except pickle.UnpicklingError as error:
        if "truncated" in str(error):
            raise CheckpointError(_truncated(path)) from error
        raise CheckpointError(
            f"{path} is refused: the pickle asks for {error}, which plain weights never need. "
            "Files that run code on "
            "loading are not loaded; get the official file, or convert it to safetensors on a "
            "machine you can throw away."
        ) from error
    except EOFError as error:
        raise CheckpointError(_truncated(path)) from error
    except Exception as error:  # a damaged pickle fails in any way it likes
        raise CheckpointError(f"{path} is not a readable pickle of arrays: {error}") from error


def _truncated(path: Path) -> str:
    return (
        f"{path} ends in the middle ({path.stat().st_size:,} bytes): a download that broke off? "
        "Download it again."
    )
