"""Reads pickles of numpy arrays (detectron2's model zoo) without letting them run code.

A pickle may name any callable of any module, call it, and set the state of the result. This
unpickler imports nothing: it knows a few names, maps each to a function of ours, and gives numpy
checked bytes only. A crafted file can build numbers, text, containers and arrays of numbers.
"""

from __future__ import annotations

import collections
import pickle
import pickletools
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

import numpy as np
import numpy.typing as npt

from objectomaly_ros.checkpoints.errors import CheckpointError

_NUMBER = re.compile(r"[fiub]\d{1,2}")
_MAX_VALUES = 10_000_000
# What pickles of protocol 2 to 5 use for plain data, and torch's for its storages (BINPERSID).
_OPCODES = """
    PROTO FRAME STOP MARK POP POP_MARK NONE NEWTRUE NEWFALSE BININT BININT1 BININT2 LONG1 BINFLOAT
    SHORT_BINSTRING BINSTRING SHORT_BINBYTES BINBYTES BINBYTES8 BYTEARRAY8
    SHORT_BINUNICODE BINUNICODE BINUNICODE8
    EMPTY_TUPLE TUPLE1 TUPLE2 TUPLE3 TUPLE EMPTY_LIST APPEND APPENDS EMPTY_DICT SETITEM SETITEMS
    BINPUT LONG_BINPUT MEMOIZE BINGET LONG_BINGET
    GLOBAL STACK_GLOBAL REDUCE NEWOBJ BUILD BINPERSID
"""
_GROWING = ("APPEND", "APPENDS", "SETITEM", "SETITEMS")  # a container, which comes first


def check_effort(file: BinaryIO) -> None:
    """Parse one pickle without building it, and refuse it if building takes too much.

    A pickle can put a container into the next one twice, and so on: 335 bytes make a tuple of 2**40
    numbers, which takes days to hash as a key. So a container counts as all the values in it, each
    time it is used.

    Args:
        file: at the start of the pickle; at its end afterwards.

    Raises:
        UnpicklingError: it has too many values, a memo index out of order, or an opcode that plain
            data does not need.
        Exception: it is damaged.
    """
    weights: list[int] = []
    marks: list[int] = []
    memo: dict[int, int] = {}
    total = 0
    allowed, mark = _OPCODES.split(), pickletools.markobject
    argument: Any
    for opcode, argument, _ in pickletools.genops(file):
        name, taken = opcode.name, opcode.stack_before
        if name not in allowed:
            raise pickle.UnpicklingError(f"the opcode {name}")
        if name == "MARK":
            marks.append(len(weights))
        elif name in ("BINGET", "LONG_BINGET"):
            weights.append(memo[argument])
        elif name in ("BINPUT", "LONG_BINPUT", "MEMOIZE"):
            index = len(memo) if argument is None else argument
            if index > total:  # the unpickler would reserve memory up to there
                raise pickle.UnpicklingError(f"memo index {index} after {total} values")
            memo[index] = weights[-1]
        else:
            start = marks.pop() - taken.index(mark) if mark in taken else len(weights) - len(taken)
            if start < 0:
                raise pickle.UnpicklingError("values that it does not hold")
            weight = 1 + sum(weights[start:])
            total += weight - (weights[start] if name in _GROWING else 0)
            weights[start:] = [weight] * len(opcode.stack_after)
            if total > _MAX_VALUES:
                raise pickle.UnpicklingError(f"more than {_MAX_VALUES:,} values")


class _Dtype:
    """Stands in for a `numpy.dtype`, whose own `__setstate__` trusts what it is given."""

    def __init__(self, spec: Any, *_flags: Any) -> None:
        if not isinstance(spec, str) or not _NUMBER.fullmatch(spec):
            raise pickle.UnpicklingError("an array of Python objects or records")
        self._spec = spec
        self._order = "="

    def __setstate__(self, state: Any) -> None:
        _version, order, *rest = state
        if order not in ("<", ">", "|", "=") or any(part is not None for part in rest[:3]):
            raise pickle.UnpicklingError("an array of records")
        self._order = order

    def numpy(self) -> np.dtype[Any]:
        return np.dtype(self._order + self._spec)


class PickledArray:
    """Stands in for a `numpy.ndarray` while its pickle is read.

    Attributes:
        array: its values, set with the state.
    """

    array: npt.NDArray[Any] | None = None

    def __setstate__(self, state: Any) -> None:
        _version, shape, dtype, fortran, data = state
        self.array = _array(data, dtype, shape, "F" if fortran else "C")


def _array(data: Any, dtype: Any, shape: Any, order: Any = "C", *_axis: Any) -> npt.NDArray[Any]:
    """Return an array of checked bytes; protocol 5 calls this as numpy's `_frombuffer`."""
    if isinstance(data, str):  # bytes of a Python 2 pickle
        data = data.encode("latin1")
    if not isinstance(dtype, _Dtype) or not isinstance(data, bytes | bytearray):
        raise pickle.UnpicklingError("an array of Python objects")
    return np.frombuffer(data, dtype=dtype.numpy()).reshape(shape, order=order)


def _empty_array(kind: Any, _shape: Any, _typecode: Any) -> PickledArray:
    if kind is not PickledArray:
        raise pickle.UnpicklingError("an array of another class than numpy.ndarray")
    return PickledArray()


def _scalar(dtype: Any, data: Any = None) -> Any:
    return _array(data, dtype, ())[()]


def _encode(text: Any, encoding: Any = "latin1") -> bytes:
    """Return bytes as protocol 2 holds them."""
    if not isinstance(text, str) or encoding != "latin1":
        raise pickle.UnpicklingError("text in another encoding than latin1")
    return text.encode("latin1")


class _Function:
    """A function whose attributes no pickle can set."""

    __slots__ = ("_function",)

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function

    def __call__(self, *args: Any) -> Any:
        return self._function(*args)

    def __setstate__(self, state: Any) -> NoReturn:
        raise pickle.UnpicklingError("changes to this program")


# The names of numpy that pickled arrays hold, and what stands in for each.
NUMPY: dict[tuple[str, str], Any] = {
    ("numpy", "ndarray"): PickledArray,
    ("numpy", "dtype"): _Dtype,
}
# numpy 2 moved numpy.core to numpy._core: files written by either must load under either.
for _core in ("numpy.core", "numpy._core"):
    NUMPY[(f"{_core}.multiarray", "_reconstruct")] = _Function(_empty_array)
    NUMPY[(f"{_core}.multiarray", "scalar")] = _Function(_scalar)
    NUMPY[(f"{_core}.numeric", "_frombuffer")] = _Function(_array)
_KNOWN = {
    ("collections", "OrderedDict"): _Function(collections.OrderedDict),
    ("_codecs", "encode"): _Function(_encode),
    **NUMPY,
}


class _ArrayUnpickler(pickle.Unpickler):
    """Knows the names above and refuses all others."""

    def find_class(self, module: str, name: str) -> Any:
        """Return our stand-in for a known name; raise for any other."""
        if (module, name) not in _KNOWN:
            raise pickle.UnpicklingError(f"the name {module}.{name}")
        return _KNOWN[(module, name)]


def read_array_pickle(file: BinaryIO, path: Path) -> Any:
    """Read one pickled object made of containers, numbers, text and numpy arrays.

    Args:
        file: at the start of the pickle.
        path: for the message.

    Returns:
        the object; its arrays are `PickledArray` or, from protocol 5, numpy's.

    Raises:
        CheckpointError: it is truncated or damaged, or asks for more than plain data. Nothing that
            it names has been imported or called.
    """
    try:
        check_effort(file)
        file.seek(0)
        return _ArrayUnpickler(file, encoding="latin1").load()
    except pickle.UnpicklingError as error:
        raise CheckpointError(
            f"{path} is refused: the pickle asks for {error}, which plain weights never need. "
            "Files that run code on loading are not loaded; get the official file, or convert it "
            "to safetensors on a machine you can throw away."
        ) from error
    except Exception as error:  # a damaged pickle fails in any way it likes
        if isinstance(error, ValueError) and re.search("remain|exhausted", str(error)):
            raise CheckpointError(
                f"{path} ends in the middle ({path.stat().st_size:,} bytes): a download that broke "
                "off? Download it again."
            ) from error
        raise CheckpointError(
            f"{path} is not a readable pickle of arrays: {str(error) or type(error).__name__}"
        ) from error
