"""SQLite files whose schema, journal or pages were made to harm, and those with odd rows."""

from __future__ import annotations

import os
import sqlite3
import struct
from contextlib import closing

import pytest

from objectomaly_ros.bags.errors import BagError
from objectomaly_ros.bags.reader import Bag
from objectomaly_ros.bags.writer import BagWriter

WORDS = [f"word {index}" for index in range(20)]


@pytest.fixture
def file(tmp_path):
    """A sound .db3 file of 20 strings, alone in a folder."""
    with BagWriter(tmp_path / "bag", storage="sqlite3") as writer:
        writer.add_topic("/words", "std_msgs/msg/String")
        for index, word in enumerate(WORDS):
            message = writer.store.types["std_msgs/msg/String"](data=word)
            writer.write("/words", message, 1000 + index)
    (tmp_path / "bag" / "metadata.yaml").unlink()
    return tmp_path / "bag" / "bag.db3"


def words(bag):
    return [bag.decode(message).data for message in bag.messages()]


def change(file, *statements):
    with closing(sqlite3.connect(file)) as database:
        database.execute("PRAGMA writable_schema = ON")
        for statement in statements:
            database.execute(statement)
        database.commit()


MESSAGES = "CREATE TABLE messages(id INTEGER PRIMARY KEY, topic_id, timestamp, data{extra})"
HOSTILE = {
    "SQL in the row of a table": [
        "INSERT INTO sqlite_master VALUES('table', 'x', 'x', 0, 'VACUUM INTO ''{target}''')"
    ],
    "SQL in the row of a table of rosbag2": [
        "UPDATE sqlite_master SET sql = 'VACUUM INTO ''{target}''' WHERE name = 'topics'"
    ],
    "a view in place of the messages": [
        "DROP TABLE messages",
        "CREATE VIEW messages AS SELECT 1 AS id, 1 AS topic_id, 1 AS timestamp, "
        "randomblob(9) AS data",
    ],
    "a view under the name of a table": [
        "DROP TABLE messages",
        "CREATE VIEW messages AS SELECT 1 AS id, 1 AS topic_id, 1 AS timestamp, x'00' AS data",
        "UPDATE sqlite_master SET type = 'table' WHERE name = 'messages'",
    ],
    "a trigger": [
        "CREATE TRIGGER t AFTER INSERT ON messages BEGIN DELETE FROM topics; END",
    ],
    "a virtual table": [
        "DROP TABLE messages",
        "CREATE VIRTUAL TABLE messages USING fts5(id, topic_id, timestamp, data)",
    ],
    "a generated column": [
        "DROP TABLE messages",
        MESSAGES.format(extra=" GENERATED ALWAYS AS (zeroblob(900000000)) VIRTUAL"),
        "INSERT INTO messages(id, topic_id, timestamp) VALUES(1, 1, 1)",
    ],
    "a column of its own": [
        "ALTER TABLE messages ADD COLUMN extra TEXT",
    ],
    "no column for the data": [
        "ALTER TABLE messages RENAME COLUMN data TO extra",
    ],
}


@pytest.mark.parametrize("state", ["sound", "cut", "with a journal", "with a WAL file"])
@pytest.mark.parametrize("case", HOSTILE)
def test_a_schema_of_more_than_plain_tables_is_refused_and_runs_nothing(file, case, state):
    target = file.parent / "written"
    change(file, *[statement.format(target=target) for statement in HOSTILE[case]])
    if state == "cut":
        os.truncate(file, file.stat().st_size - 10)
    elif state != "sound":
        end = "-journal" if state == "with a journal" else "-wal"
        (file.parent / f"{file.name}{end}").write_bytes(b"no journal, but not empty either")
    before = sorted(file.parent.iterdir()), file.read_bytes()
    with pytest.raises(BagError, match=r"cannot be read as a \.db3 bag: .*(schema|table|database)"):
        Bag(file)
    assert (sorted(file.parent.iterdir()), file.read_bytes()) == before
    assert not target.exists()


def test_messages_in_another_serialization_are_named(file):
    change(file, "UPDATE topics SET serialization_format = 'protobuf'")
    with pytest.raises(BagError, match=r"no messages of ROS 2 \(CDR\), only: /words \('protobuf'"):
        Bag(file)


def test_a_file_in_wal_mode_is_read_alone_and_where_nothing_can_be_written(file):
    with closing(sqlite3.connect(file)) as database:
        database.execute("PRAGMA journal_mode = WAL")
    assert [path.name for path in file.parent.iterdir() if "-wal" in path.name] == []
    before = file.read_bytes()
    file.chmod(0o444)
    file.parent.chmod(0o555)
    try:
        with Bag(file) as bag:
            assert words(bag) == WORDS
            assert bag.damage is None
    finally:
        file.parent.chmod(0o755)
    assert file.read_bytes() == before


def hot_journal(file, name):
    """A journal that undoes nothing and names another one: SQLite deletes that at its end."""
    page = struct.unpack(">H", file.read_bytes()[16:18])[0]
    header = bytes.fromhex("d9d505f920a163d7") + struct.pack(
        ">IIIII", 0, 1, file.stat().st_size // page, 512, page
    )
    text = str(name).encode()
    tail = struct.pack(">I", 2**30 // page + 1) + text
    tail += struct.pack(">II", len(text), sum(text)) + header[:8]
    file.with_name(f"{file.name}-journal").write_bytes(header.ljust(512, b"\0") + tail)


def test_a_journal_cannot_have_a_file_deleted(file, tmp_path):
    victim = tmp_path / "victim"
    victim.write_text("precious")
    hot_journal(file, victim)
    with Bag(file) as bag:
        assert words(bag) == WORDS
        assert "it was not closed" in bag.damage
    assert victim.read_text() == "precious"
    # The journal works: read as it is, it has the file deleted. SQLite 3.53 deletes it no more.
    with closing(sqlite3.connect(file)) as database:
        database.execute("SELECT * FROM topics").fetchall()
    assert not victim.exists() or sqlite3.sqlite_version_info > (3, 40, 1)


@pytest.mark.parametrize("mode", ["DELETE", "WAL"])
def test_an_open_transaction_is_undone_in_a_copy(file, mode):
    with closing(sqlite3.connect(file, isolation_level=None)) as database:
        database.execute(f"PRAGMA journal_mode = {mode}")
        database.execute("PRAGMA cache_size = 1")  # the transaction reaches the file before its end
        database.execute("BEGIN")
        for row in range(100, 300):
            database.execute(
                "INSERT INTO messages VALUES(?, 1, ?, ?)", (row, 2000 + row, bytes(5000))
            )
        before = {path: path.read_bytes() for path in file.parent.iterdir()}
        with Bag(file) as bag:
            assert words(bag) == WORDS
            assert "it was not closed" in bag.damage
        assert {path: path.read_bytes() for path in file.parent.iterdir()} == before


def test_no_room_for_the_copy_is_told_with_the_need(file, monkeypatch):
    file.with_name(f"{file.name}-wal").write_bytes(b"something")
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": 10}))
    need = file.stat().st_size + 9
    with pytest.raises(BagError, match=f"copy of {need} bytes .* 10 are free; set TMPDIR"):
        Bag(file)


def test_pages_that_name_each_other_do_not_make_endless_tables(file):
    """Interior pages of one table, each naming the next one 60 times: 60 ** 15 rows."""
    with closing(sqlite3.connect(file)) as database:
        (root,) = database.execute(
            "SELECT rootpage FROM sqlite_master WHERE name = 'messages'"
        ).fetchone()
    data = bytearray(file.read_bytes())
    (page,) = struct.unpack(">H", data[16:18])
    count = len(data) // page

    def interior(child):
        places = range(page - 60 * 5, page, 5)
        cells = b"".join(struct.pack(">IB", child, 127) for _ in places)
        head = struct.pack(">BHHHBI", 5, 0, 60, places[0], 0, child)
        pointers = b"".join(struct.pack(">H", place) for place in places)
        return head + pointers + bytes(page - len(head + pointers + cells)) + cells

    leaf = data[(root - 1) * page : root * page]
    data[(root - 1) * page : root * page] = interior(count + 1)
    for number in range(1, 15):
        data += interior(count + number + 1)
    data += leaf
    data[28:32] = struct.pack(">I", len(data) // page)
    file.write_bytes(data)
    with Bag(file) as bag:
        assert "more rows than its size allows" in bag.damage
        assert len(list(bag.messages())) <= len(WORDS)


@pytest.mark.parametrize(
    ("statement", "damage"),
    [
        ("UPDATE messages SET data = 1000000000000 WHERE id = 5", "message 5 has columns of other"),
        ("UPDATE messages SET topic_id = 'x' WHERE id = 5", None),
        ("UPDATE messages SET timestamp = 'soon' WHERE id = 5", "time stamps are no integers"),
        ("UPDATE message_definitions SET encoding = x'00'", None),
        ("UPDATE topics SET offered_qos_profiles = 7", None),
    ],
)
def test_values_of_other_types_are_damage_and_end_nothing_else(file, statement, damage):
    change(file, statement)
    with Bag(file) as bag:
        read = words(bag)
        assert (damage in bag.damage) if damage else bag.damage is None
    assert len(read) >= 4


def test_a_topic_whose_name_is_no_text_is_refused(file):
    change(file, "UPDATE topics SET name = x'ff00'")
    with pytest.raises(BagError, match=r"topic b'\\xff\\x00' has a name or type that is no text"):
        Bag(file)


def test_odd_characters_in_the_path(file):
    odd = file.with_name("a?mode=rwc#b%20c.db3")
    file.rename(odd)
    with Bag(odd) as bag:
        assert words(bag) == WORDS


@pytest.mark.parametrize("version", [1, 2])
def test_the_schemas_of_earlier_rosbag2(tmp_path, version):
    qos = ", offered_qos_profiles TEXT NOT NULL" if version == 2 else ""
    with closing(sqlite3.connect(tmp_path / "old.db3")) as database:
        database.executescript(
            "CREATE TABLE topics(id INTEGER PRIMARY KEY, name TEXT NOT NULL, type TEXT NOT NULL, "
            f"serialization_format TEXT NOT NULL{qos});"
            "CREATE TABLE messages(id INTEGER PRIMARY KEY, topic_id INTEGER NOT NULL, "
            "timestamp INTEGER NOT NULL, data BLOB NOT NULL);"
            "CREATE INDEX timestamp_idx ON messages (timestamp ASC);"
        )
        values = ("/words", "std_msgs/msg/String", "cdr", "- {}")[: version + 2]
        database.execute(f"INSERT INTO topics VALUES(3{', ?' * len(values)})", values)
        for stamp, letter in ((7, b"b"), (5, b"a")):
            data = b"\0\1\0\0\2\0\0\0" + letter + b"\0"
            database.execute("INSERT INTO messages VALUES(NULL, 3, ?, ?)", (stamp, data))
        database.commit()
    with Bag(tmp_path / "old.db3") as bag:
        assert words(bag) == ["a", "b"]
        assert bag.damage is None
        assert bag.duration == pytest.approx(2e-9)
