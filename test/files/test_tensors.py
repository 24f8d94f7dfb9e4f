"""Safetensors files without the library, and with it."""

import json
import struct

import numpy as np
import pytest

from objectomaly_ros.files.tensors import read_tensors, write_tensors

TENSORS = {
    "a": np.arange(6, dtype=np.float16).reshape(2, 3),
    "b": np.linspace(0, 1, 5, dtype=np.float32),
}


def test_what_is_written_is_read(tmp_path):
    path = tmp_path / "x.safetensors"
    write_tensors(path, TENSORS, {"format": "ours", "text": "ü"})
    tensors, metadata = read_tensors(path, 10_000)
    assert metadata == {"format": "ours", "text": "ü"}
    assert tensors.keys() == TENSORS.keys()
    for name, expected in TENSORS.items():
        assert tensors[name].dtype == expected.dtype
        np.testing.assert_array_equal(tensors[name], expected)


def test_the_library_reads_and_writes_the_same(tmp_path):
    library = pytest.importorskip("safetensors.numpy", reason="safetensors is not installed")
    write_tensors(tmp_path / "ours", TENSORS, {})
    for name, found in library.load_file(tmp_path / "ours").items():
        np.testing.assert_array_equal(found, TENSORS[name])
    library.save_file(TENSORS, tmp_path / "theirs", {"key": "value"})
    tensors, metadata = read_tensors(tmp_path / "theirs", 10_000)
    assert metadata == {"key": "value"}
    np.testing.assert_array_equal(tensors["a"], TENSORS["a"])


def test_a_large_file_is_refused(tmp_path):
    write_tensors(tmp_path / "x", TENSORS, {})
    with pytest.raises(ValueError, match="the limit is 20"):
        read_tensors(tmp_path / "x", 20)


def entry(dtype="F32", shape=(1,), offsets=(0, 4)):
    return {"t": {"dtype": dtype, "shape": shape, "data_offsets": offsets}}


@pytest.mark.parametrize(
    "header",
    [
        b"",
        b"[]",
        b"{",
        b"\xff",
        b"[" * 100_000,
        *(
            json.dumps(found).encode()
            for found in (
                entry("I64"),
                entry(shape=(2,)),
                entry(shape=(-1, -1)),
                entry(offsets=(4, 8)),
                entry(offsets=(-4, 0)),
                entry(offsets=(0,)),
                {"t": 3},
                {"__metadata__": 3},
            )
        ),
    ],
)
def test_a_damaged_file_is_told(tmp_path, header):
    path = tmp_path / "x"
    path.write_bytes(struct.pack("<Q", len(header)) + header + bytes(4))
    with pytest.raises(ValueError, match="x is no safetensors file of ours"):
        read_tensors(path, 10**6)
