"""Reads pickles of numpy arrays (detectron2's model zoo) without letting them run code.

A pickle may name any callable of any module, call it, and set any state of what comes back. This
unpickler imports nothing: it knows a handful of names, answers each with a function of ours, and
lets numpy see nothing but checked bytes. A crafted file can build numbers, text, containers and
arrays of numbers, no more.
"""

from __future__ import annotations

import collections
import pickle
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

import numpy as np
import numpy.typing as npt

from objectomaly_ros.checkpoints.errors import CheckpointError

_NUMBER = re.compile(r"[fiub]\d{1,2}")


class _Dtype:
    """Stands in for a `numpy.dtype`, whose own `__setstate__` trusts what it is given."""

    def __init__(self, spec: Any, *_flags: Any) -> None:
        if isinstance(spec, str) and spec.startswith("O"):
            raise pickle.UnpicklingError("an array of Python objects")
        if not isinstance(spec, str) or not _NUMBER.fullmatch(spec):
            raise pickle.UnpicklingError(f"an array of {spec!r}")
        self._spec = spec
        self._order = "="

    def __setstate__(self, state: Any) -> None:
        """Take the byte order of a state; anything structured is refused."""
        _version, order, *rest = state
        if order not in ("<", ">", "|", "=") or any(part is not None for part in rest[:3]):
            raise pickle.UnpicklingError("an array of records")
        self._order = order

    def numpy(self) -> np.dtype[Any]:
        return np.dtype(self._order + self._spec)


class PickledArray:
    """Stands in for a `numpy.ndarray` while its pickle is read.

    Attributes:
        array: its values, once the state has come.
    """

    array: npt.NDArray[Any] | None = None

    def __setstate__(self, state: Any) -> None:
        """Build the array from its shape, dtype, order and bytes."""
        _version, shape, dtype, fortran, data = state
        self.array = _array(data, dtype, shape, "F" if fortran else "C")


def _array(data: Any, dtype: Any, shape: Any, order: Any = "C", *_axis: Any) -> npt.NDArray[Any]:
    """Protocol 5 calls this itself, as numpy's `_frombuffer`."""
    if isinstance(data, str):  # bytes of a Python 2 pickle
        data = data.encode("latin1")
    if not isinstance(dtype, _Dtype) or not isinstance(data, bytes | bytearray):
        raise pickle.UnpicklingError("an array of Python objects")
    return np.frombuffer(data, dtype=dtype.numpy()).reshape(shape, order=order)


def _empty_array(kind: Any, _shape: Any, _typecode: Any) -> PickledArray:
    if kind is not _KNOWN[("numpy", "ndarray")]:
        raise pickle.UnpicklingError(f"an array of the kind {kind!r}")
    return PickledArray()


def _scalar(dtype: Any, data: Any = None) -> Any:
    return _array(data, dtype, ())[()]


def _encode(text: Any, encoding: Any = "latin1") -> bytes:
    """How protocol 2 holds bytes; only the encoding that it uses."""
    if not isinstance(text, str) or encoding != "latin1":
        raise pickle.UnpicklingError(f"text in the encoding {encoding!r}")
    return text.encode("latin1")


def _not_to_be_called(*_args: Any) -> NoReturn:
    raise pickle.UnpicklingError("a bare numpy.ndarray")


class _Known:
    """A callable whose state no pickle can set."""

    __slots__ = ("_function",)

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function

    def __call__(self, *args: Any) -> Any:
        return self._function(*args)

    def __setstate__(self, state: Any) -> NoReturn:
        raise pickle.UnpicklingError("changes to this program")


_KNOWN = {
    ("collections", "OrderedDict"): _Known(collections.OrderedDict),
    ("_codecs", "encode"): _Known(_encode),
    ("numpy", "ndarray"): _Known(_not_to_be_called),
    ("numpy", "dtype"): _Known(_Dtype),
}
# numpy 2 moved numpy.core to numpy._core: files written by either must load under either.
for _core in ("numpy.core", "numpy._core"):
    _KNOWN[(f"{_core}.multiarray", "_reconstruct")] = _Known(_empty_array)
    _KNOWN[(f"{_core}.multiarray", "scalar")] = _Known(_scalar)
    _KNOWN[(f"{_core}.numeric", "_frombuffer")] = _Known(_array)


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

    Returns:
        The object; arrays in it are `PickledArray` or, from protocol 5, numpy's.

    Raises:
        CheckpointError: the file is truncated, damaged, or asks for anything else than plain data.
            Nothing that it names has been imported or called.
    """
    try:
        return _ArrayUnpickler(file, encoding="latin1").load()
    except pickle.UnpicklingError as error:
        if "truncated" in str(error):
            raise CheckpointError(_truncated(path)) from error
        raise CheckpointError(
            f"{path} is refused: the pickle asks for {error}, which plain weights never need. "
            "Files that run code on loading are not loaded; get the official file, or convert it "
            "to safetensors on a machine you can throw away."
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
