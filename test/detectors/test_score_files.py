"""Score map files that are damaged, or claim more than they hold."""

import io
import pickle
import struct
import zipfile
import zlib

import cv2
import numpy as np
import pytest

from objectomaly_ros.detectors.score_files import read_score_map

SCORE = np.random.default_rng(0).random((6, 8)).astype(np.float32)


def npy(array=SCORE):
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def npy_that_claims(shape):
    """A map of 6x8 whose header says something else of the same length."""
    return npy().replace(b"(6, 8), }" + b" " * 20, f"{shape}, }}".ljust(29).encode())


def npz(content, flags=0, method=0):
    """An archive of `score.npy`, whose headers claim these flags and this compression."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("score.npy", content)
    data = bytearray(file.getvalue())
    for at in (6, data.rindex(b"PK\1\2") + 8):
        if flags or method:
            struct.pack_into("<HH", data, at, flags, method)
    return bytes(data)


LONG_HEADER = np.lib.format.magic(2, 0) + struct.pack("<I", 99_999) + b" " * 99_999


def damaged_npz():
    data = npz(npy())
    at = data.index(b"score.npy") + 9
    return data[:at] + b"\xff" * 8 + data[at + 8 :]


def png_of_a_gigapixel():
    data = bytearray(cv2.imencode(".png", np.zeros((8, 8), np.uint16))[1].tobytes())
    struct.pack_into(">II", data, 16, 32000, 32000)
    struct.pack_into(">I", data, 29, zlib.crc32(data[12:29]))
    return bytes(data)


@pytest.mark.parametrize(
    ("name", "data", "words"),
    [
        ("open.npy", npy().replace(b"}", b" "), "it is damaged, or no .npy file"),
        ("huge.npy", npy_that_claims("(68719476720, 1)"), "it claims"),
        ("minus.npy", npy_that_claims("(-8, -6)"), "it claims"),
        ("float.npy", npy_that_claims("(6.0, 8)"), "it is damaged, or no .npy file"),
        ("structure.npy", npy(np.zeros((6, 8), "f4,i2")), "it claims"),
        ("complex.npy", npy(SCORE.astype(complex)), "it claims"),
        ("garbage.npy", b"\0garbage" * 50, "it is damaged, or no .npy file"),
        ("header.npy", LONG_HEADER, "it is damaged, or no .npy file"),
        ("header.npz", npz(LONG_HEADER), "it is damaged, or no .npy file"),
        ("pickle.npy", pickle.dumps(SCORE), "it is damaged, or no .npy file"),
        ("objects.npy", npy(np.array([[{}]])), "it claims (1, 1) object"),
        ("objects.npz", npz(npy(np.array([[{}]]))), "it claims (1, 1) object"),
        ("empty.npy", npy(SCORE[:0]), "a score map is"),
        ("version.npy", npy().replace(b"NUMPY\1", b"NUMPY\3"), "version"),
        ("damaged.npz", damaged_npz(), "decompress"),
        ("locked.npz", npz(npy(), flags=1, method=8), "encrypted"),
        ("method.npz", npz(npy(), method=99), "compression"),
        ("cut.npz", npz(npy())[:40], "not a score map"),
        ("huge.png", png_of_a_gigapixel(), "32000 x 32000 pixels"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_bad_file_is_refused_with_its_name(tmp_path, name, data, words):
    (tmp_path / name).write_bytes(data)
    with pytest.raises(ValueError, match=name.replace(".", r"\.")) as info:
        read_score_map(tmp_path / name)
    assert type(info.value) is ValueError
    assert words in str(info.value)
    assert "pickle" not in str(info.value).replace("pickle.npy", "")  # NumPy advises to allow them


@pytest.mark.parametrize(
    "array", [SCORE.astype(">f8"), np.asfortranarray(SCORE), SCORE[None], (SCORE * 9).astype("i2")]
)
@pytest.mark.parametrize("write", [np.save, np.savez, np.savez_compressed])
def test_arrays_of_every_order_are_read(tmp_path, array, write):
    path = tmp_path / f"map{'.npy' if write is np.save else '.npz'}"
    write(path, array)
    found = read_score_map(path)
    assert found.dtype == np.float32
    assert found.flags.c_contiguous
    np.testing.assert_array_equal(found, np.squeeze(array).astype(np.float32))


@pytest.mark.parametrize("shape", [(1, 5), (5, 1), (1, 1)])
def test_maps_of_one_row_or_column_are_read(tmp_path, shape):
    np.save(tmp_path / "a.npy", np.ones(shape, np.float32))
    assert read_score_map(tmp_path / "a.npy").shape == shape
