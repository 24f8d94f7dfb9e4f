from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from objectomaly_ros.files.reading import parse_yaml, printable, read_bytes, regular_file


def test_a_regular_file_also_behind_a_link(tmp_path):
    file, link = tmp_path / "file", tmp_path / "link"
    file.write_bytes(b"1234")
    link.symlink_to(file)
    assert regular_file(file) == file
    assert regular_file(str(link)) == link
    assert read_bytes(link, limit=4) == b"1234"


def test_what_is_not_there(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere"):
        regular_file(tmp_path / "nowhere")


def named_pipe(folder):
    os.mkfifo(folder / "pipe")
    return folder / "pipe"


def unix_socket(folder):
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(folder / "socket"))
    return folder / "socket"


def link_to_a_pipe(folder):
    (folder / "link").symlink_to(named_pipe(folder))
    return folder / "link"


@pytest.mark.parametrize(
    ("make", "kind"),
    [
        (named_pipe, "named pipe"),
        (link_to_a_pipe, "named pipe"),
        (unix_socket, "socket"),
        (lambda folder: folder, "directory"),
        (lambda _: Path("/dev/zero"), "device"),
    ],
)
def test_anything_else_is_refused_at_once_with_its_kind(tmp_path, make, kind):
    path = make(tmp_path)
    with pytest.raises(OSError, match=rf"cannot read {path}: it is a {kind}"):
        regular_file(path)
    with pytest.raises(OSError, match=kind):
        read_bytes(path, limit=10)


def test_a_file_beyond_the_limit_is_told_with_size_and_limit(tmp_path):
    file = tmp_path / "large"
    file.write_bytes(bytes(100))
    with pytest.raises(ValueError, match=r"large: it has 100 bytes; the limit is 99"):
        read_bytes(file, limit=99)
    assert read_bytes(file, limit=100) == bytes(100)


def test_plain_yaml():
    assert parse_yaml("a: [1, {b: text}]", limit=100) == {"a": [1, {"b": "text"}]}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[" * 100_000, "nests deeper than 20"),
        ("- " * 100_000, "nests deeper than 20"),
        ("{a: " * 100_000, "nests deeper than 20"),
        ("a: &a {x: 1}\nb: {<<: [*a, *a]}", "aliases"),
        ("a: [", "no YAML"),
        ("a: !!python/object/apply:os.system [true]", "no YAML"),
        ("a: 1" + ":00" * 300_000, "a number of 900001 digits"),
        (f"!!int '{'1_: ' * 200_000}'", "a number of 800000 digits"),
        ("!!timestamp x", "no YAML"),
        ("!!bool x", "no YAML"),
        ("!!float x", "x"),
        ("x" * 1_000_001, "1000001 characters; the limit is 1000000"),
    ],
)
def test_yaml_that_could_harm_is_refused(text, words):
    with pytest.raises(ValueError, match=words):
        parse_yaml(text, limit=1_000_000)


def test_yaml_of_many_parts_is_refused():
    with pytest.raises(ValueError, match="more than 200000 parts"):
        parse_yaml(f"[{'a,' * 200_000}]", limit=10**6)


def test_control_characters_are_escaped():
    assert (
        printable("\x1b]0;title\x07 Stra\u00dfe\n\u202e")
        == "\\x1b]0;title\\x07 Stra\u00dfe\n\\u202e"
    )
