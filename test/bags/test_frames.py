from __future__ import annotations

import os
from pathlib import Path

import pytest

from objectomaly_ros.bags.errors import BagError
from objectomaly_ros.bags.frames import (
    find_frames,
    stamps_from_csv,
    stamps_from_names,
    stamps_from_rate,
)


def test_frames_come_in_natural_order_and_other_files_are_left_out(tmp_path):
    for name in ("frame10.png", "frame2.PNG", "frame1.jpg", "notes.txt", "frame3.jpeg"):
        (tmp_path / name).touch()
    (tmp_path / "folder.png").mkdir()
    names = [frame.name for frame in find_frames(tmp_path)]
    assert names == ["frame1.jpg", "frame2.PNG", "frame3.jpeg", "frame10.png"]


def test_a_rate_gives_stamps_that_do_not_drift():
    stamps = stamps_from_rate(301, 30.0, start_ns=7)
    assert stamps[0] == 7
    assert stamps[300] == 7 + 10_000_000_000


@pytest.mark.parametrize("rate", [0.0, -1.0, float("nan")])
def test_a_rate_that_makes_no_sense_is_refused(rate):
    with pytest.raises(BagError, match="rate"):
        stamps_from_rate(3, rate, 0)


@pytest.mark.parametrize(
    ("name", "stamp"),
    [
        ("1600000000.123456789.png", 1_600_000_000_123_456_789),
        ("1600000000_000000001.png", 1_600_000_000_000_000_001),
        ("1600000000.png", 1_600_000_000_000_000_000),
        ("1600000000123.png", 1_600_000_000_123_000_000),
        ("1600000000123456.png", 1_600_000_000_123_456_000),
        ("1600000000123456789.png", 1_600_000_000_123_456_789),
    ],
)
def test_stamps_in_file_names(name, stamp):
    assert stamps_from_names([Path(name)]) == [stamp]


def test_a_frame_number_is_no_stamp():
    with pytest.raises(BagError, match=r"000012\.png is no time stamp"):
        stamps_from_names([Path("000012.png")])


def test_stamps_that_do_not_grow_are_refused():
    with pytest.raises(BagError, match="do not grow"):
        stamps_from_names([Path("1600000001.png"), Path("1600000000.png")])


def test_stamps_from_a_table_in_seconds_and_in_nanoseconds(tmp_path):
    frames = [Path("a.png"), Path("b.png")]
    table = tmp_path / "t.csv"
    table.write_text("file,stamp\nb.png,2.000000001\na.png, 1.5\n")
    assert stamps_from_csv(frames, table) == [1_500_000_000, 2_000_000_001]
    table.write_text("stamp_ns,file\n5,sub/a.png\n6,sub/b.png\n")
    assert stamps_from_csv(frames, table) == [5, 6]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("name,time\na.png,1\n", "needs the columns 'file' and 'stamp'"),
        ("file,stamp\na.png,soon\n", "line 2 of .*'soon' is no time stamp"),
        ("file,stamp\nother.png,1\n", "no stamp for 1 frames, such as a.png"),
        ("", "needs the columns"),
        ("file,stamp_ns\na.png,1.5\n", "line 2"),
    ],
)
def test_tables_that_cannot_be_used(tmp_path, text, words):
    table = tmp_path / "t.csv"
    table.write_text(text)
    with pytest.raises(BagError, match=words):
        stamps_from_csv([Path("a.png")], table)


def test_a_table_that_is_not_there(tmp_path):
    with pytest.raises(BagError, match=r"none\.csv"):
        stamps_from_csv([Path("a.png")], tmp_path / "none.csv")


def test_digits_of_other_scripts_in_file_names_are_no_numbers(tmp_path):
    for name in ("m²1.png", "m1.png", "٣.png"):
        (tmp_path / name).touch()
    assert len(find_frames(tmp_path)) == 3
    with pytest.raises(BagError, match="is no time stamp"):
        stamps_from_names([Path("²²²²²²²²²².png")])


@pytest.mark.parametrize("stamp", ["1e999999999", "-1", "9" * 5000, "inf", " "])
def test_stamps_that_no_clock_shows_are_refused_at_once(tmp_path, stamp):
    table = tmp_path / "t.csv"
    for unit in ("stamp", "stamp_ns"):
        table.write_text(f"file,{unit}\na.png,{stamp}\n")
        with pytest.raises(BagError, match=r"line 2 of .* is no time stamp"):
            stamps_from_csv([Path("a.png")], table)


def test_a_table_that_is_a_named_pipe_is_refused(tmp_path):
    os.mkfifo(tmp_path / "t.csv")
    with pytest.raises(BagError, match=r"t\.csv cannot be read: .* named pipe"):
        stamps_from_csv([Path("a.png")], tmp_path / "t.csv")
