"""Files are written whole or not at all."""

import errno
import os
import stat
from pathlib import Path

import pytest

from objectomaly_ros.files.writing import making_folder, open_replacing, replacing


def names(folder):
    return [path.name for path in folder.iterdir()]


def write_then_raise(path, error):
    with open_replacing(path) as file:
        file.write(b"abc")
        file.flush()
        raise error


def test_the_file_appears_when_it_is_whole(tmp_path):
    path = tmp_path / "new" / "map.npz"
    with open_replacing(path) as file:
        file.write(b"half")
        assert not path.exists()
        file.write(b"whole")
    assert path.read_bytes() == b"halfwhole"
    assert names(path.parent) == ["map.npz"]


@pytest.mark.parametrize("letter", ["a", "ü", "界"])
def test_a_name_may_be_as_long_as_names_can_be(tmp_path, letter):
    name = letter * (251 // len(letter.encode())) + ".npz"
    with open_replacing(tmp_path / name) as file:
        file.write(b"whole")
    assert names(tmp_path) == [name]
    with making_folder(tmp_path / "new" / name) as folder:
        folder.mkdir()
    assert names(tmp_path / "new") == [name]


def test_the_older_file_stays_when_writing_fails(tmp_path):
    path = tmp_path / "map.txt"
    path.write_text("old")
    with pytest.raises(RuntimeError):
        write_then_raise(path, RuntimeError())
    assert path.read_text() == "old"
    assert names(tmp_path) == ["map.txt"]


def test_a_full_disk_is_told_with_path_and_need(tmp_path):
    path = tmp_path / "map.npy"
    told = r"map\.npy.*no space left.*more than 3 bytes"
    with pytest.raises(OSError, match=told) as caught:
        write_then_raise(path, OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)))
    assert caught.value.errno == errno.ENOSPC
    assert names(tmp_path) == []


def test_a_really_full_device(tmp_path):
    with pytest.raises(OSError, match=r"out\.bin"), replacing(tmp_path / "out.bin"):
        Path("/dev/full").write_bytes(b"x")
    assert names(tmp_path) == []


def test_a_writer_that_wants_a_path_keeps_the_suffix(tmp_path):
    with replacing(tmp_path / "picture.png") as temporary:
        assert temporary.suffix == ".png"
        temporary.write_bytes(b"png")
    assert (tmp_path / "picture.png").read_bytes() == b"png"


def test_permissions_are_those_of_the_file_or_of_a_new_one(tmp_path):
    path = tmp_path / "file"
    with open_replacing(path) as file:
        file.write(b"1")
    plain = tmp_path / "plain"
    plain.touch()
    assert stat.S_IMODE(path.stat().st_mode) == stat.S_IMODE(plain.stat().st_mode)
    path.chmod(0o640)
    with open_replacing(path) as file:
        file.write(b"2")
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match=r"file/map"), replacing(tmp_path / "file" / "map"):
        pass


def test_the_error_of_another_file_is_left_alone(tmp_path):
    with pytest.raises(FileNotFoundError, match="absent"), replacing(tmp_path / "out"):
        (tmp_path / "absent").read_bytes()


def test_a_folder_appears_when_it_is_whole(tmp_path):
    path = tmp_path / "sub" / "folder"
    with making_folder(path) as made:
        assert made.name == "folder"
        (made / "inner").mkdir(parents=True)
        (made / "inner" / "file").write_text("text")
        assert not path.exists()
    assert (path / "inner" / "file").read_text() == "text"
    assert names(path.parent) == ["folder"]


def make_then_raise(path, error):
    with making_folder(path) as made:
        made.mkdir()
        (made / "file").write_text("123")
        raise error


def test_of_a_folder_that_is_not_whole_nothing_stays(tmp_path):
    with pytest.raises(RuntimeError):
        make_then_raise(tmp_path / "folder", RuntimeError())
    with pytest.raises(FileNotFoundError, match="absent"):
        make_then_raise(tmp_path / "folder", FileNotFoundError(2, "", "absent"))
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    with pytest.raises(OSError, match=r"folder: no space left for it \(more than 3 bytes"):
        make_then_raise(tmp_path / "folder", full)
    assert names(tmp_path) == []


def test_a_folder_that_exists_is_kept(tmp_path):
    (tmp_path / "folder").mkdir()
    with pytest.raises(FileExistsError, match="folder"), making_folder(tmp_path / "folder"):
        pass
    assert names(tmp_path) == ["folder"]
