"""Reads SQLite files of rosbag2, also damaged ones, and runs none of the SQL in them.

Views, triggers, virtual tables and generated columns are SQL in a file. Only plain tables with the
columns of rosbag2 are read, and only by our own queries.
"""

from __future__ import annotations

import re
import shutil
import sqlite3
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from objectomaly_ros.bags.storage import FIRST_TIME, LAST_TIME, MSG_FORM, RawMessage, Topic
from objectomaly_ros.files.reading import regular_file

_REQUIRED = {
    "topics": {"id", "name", "type", "serialization_format"},
    "messages": {"id", "topic_id", "timestamp", "data"},
    "message_definitions": {"id", "topic_type", "encoding", "encoded_message_definition"},
}
_OPTIONAL = {"offered_qos_profiles", "type_description_hash"}
_PLAIN = re.compile(r"CREATE (TABLE|(UNIQUE )?INDEX)\s", re.IGNORECASE)
_GIVE_UP_AFTER = 10_000  # unreadable rows one after the other
_TICK = 100_000  # steps of SQLite's machine between two looks at the budget


class SqliteFile:
    """An open SQLite file of a bag.

    Attributes:
        topics: by topic id.
        left_out: topics whose messages are not in CDR, and what they are in.
        damage: what is wrong with a file of which only some rows can be read, else None.
        start, end: log times (ns) of the first and the last message; end < start if there is none.
    """

    def __init__(self, path: Path) -> None:
        """Read topics and counts, or else look for readable rows one by one.

        Raises:
            OSError: `path` is no regular file, or there is no room for a copy with its journal.
            sqlite3.Error: it is no database with the tables of rosbag2.
        """
        self.path = regular_file(path)
        self.damage: str | None = None
        self.topics: dict[int, Topic] = {}
        self.left_out: dict[str, str] = {}
        self.start, self.end = 2**63, -1
        # (timestamp, rowid, topic id) of a damaged file's readable rows
        self._rows: list[tuple[int, int, int]] = []
        # A sound table needs fewer steps; pages that name each other make endless tables.
        self._budget = 100 + path.stat().st_size * 10 // _TICK
        self._stack = ExitStack()
        try:
            try:
                self._open_sound()
            except sqlite3.DatabaseError as error:
                self.damage = str(error)
                self._open_damaged()
        except BaseException:
            self._stack.close()
            raise

    def close(self) -> None:
        """Close the file and remove its copy, if it has one."""
        self._stack.close()

    def messages(
        self, topics: Collection[str], start: int = FIRST_TIME, end: int = LAST_TIME
    ) -> Iterator[RawMessage]:
        """Yield the messages of these topics from `start` to `end` (ns) in order of log time.

        Raises:
            sqlite3.Error: the file is damaged.
        """
        self._ticks = 0
        wanted = {key: topic for key, topic in self.topics.items() if topic.name in topics}
        if self.damage:
            rows = (
                row for time, row, topic in self._rows if topic in wanted and start <= time <= end
            )
        else:
            between = f"timestamp BETWEEN {start} AND {min(end, 2**63 - 1)}"
            where = f"topic_id IN ({','.join(map(str, wanted))})"
            where += f" AND {between}" * ((start, end) != (FIRST_TIME, LAST_TIME))
            rows = (
                row
                for (row,) in self._query(
                    f"SELECT rowid FROM messages WHERE {where} ORDER BY timestamp"
                )
            )
        for message in filter(None, map(self._message, rows)):
            topic, log_time, data = message
            yield RawMessage(wanted[topic].name, wanted[topic].msgtype, log_time, data)

    def _open_sound(self) -> None:
        if self._journals():
            raise sqlite3.DatabaseError("it was not closed")
        self._open(self.path, "mode=ro&immutable=1")
        counts = {}
        for topic, count, start, end in self._query(
            "SELECT topic_id, count(*), min(timestamp), max(timestamp) FROM messages "
            "GROUP BY topic_id"
        ):
            if not isinstance(start, int) or not isinstance(end, int):
                raise sqlite3.DatabaseError("its time stamps are no integers")
            counts[topic] = count
            self.start, self.end = min(self.start, start), max(self.end, end)
        self._read_topics(counts)

    def _open_damaged(self) -> None:
        """Find the rows that can be read: a missing page hides the rows below it, not others."""
        if journals := self._journals():  # SQLite undoes the open transaction, by writing
            self._open(self._copied(journals), "mode=rw", damaged=True)
        else:
            self._open(self.path, "mode=ro&immutable=1", damaged=True)
        row = failures = 0
        while failures < _GIVE_UP_AFTER:
            row += 1
            failures += 1
            with suppress(sqlite3.DatabaseError):
                if message := self._message(row):
                    self._rows.append((message[1], row, message[0]))
                    failures = 0
        self._rows.sort()
        if self._rows:
            self.start, self.end = self._rows[0][0], self._rows[-1][0]
        self._read_topics(Counter(topic for _, _, topic in self._rows))

    def _journals(self) -> list[Path]:
        """Return the files in which a recorder left an open transaction."""
        files = [self.path.with_name(self.path.name + end) for end in ("-journal", "-wal")]
        return [file for file in files if file.exists() and regular_file(file).stat().st_size]

    def _copied(self, journals: Sequence[Path]) -> Path:
        """Copy the database with its journals, so that the original stays as it is."""
        folder = Path(self._stack.enter_context(TemporaryDirectory()))
        files = (self.path, *journals)
        need, free = sum(file.stat().st_size for file in files), shutil.disk_usage(folder).free
        if need > free:
            raise OSError(
                f"{self.path} was not closed, and reading it takes a copy of {need} bytes in "
                f"{folder}, where {free} are free; set TMPDIR to a folder with more room"
            )
        for file in files:
            shutil.copyfile(file, folder / file.name)
        journal = folder / f"{self.path.name}-journal"
        if journal.exists():
            # At its end a journal may name a file, which SQLite would delete. Hide the name.
            with journal.open("ab") as tail:
                tail.write(bytes(16))
        return folder / self.path.name

    def _open(self, path: Path, options: str, *, damaged: bool = False) -> None:
        """Open a database, let nothing in its schema run, and check the schema."""
        self._ticks = 0
        uri = f"{path.absolute().as_uri()}?{options}"
        self._database = sqlite3.connect(uri, uri=True, check_same_thread=False)
        self._stack.callback(self._database.close)
        # With writable_schema SQLite accepts a file that is shorter than its header says.
        pragmas = ["trusted_schema = OFF", "query_only = ON", "cell_size_check = ON"]
        for pragma in [*pragmas, *["writable_schema = ON"] * damaged]:
            self._database.execute(f"PRAGMA {pragma}")
        self._database.set_authorizer(_authorize)
        self._database.set_progress_handler(self._tick, _TICK)
        for (sql,) in self._query("SELECT sql FROM sqlite_master"):
            if sql is not None and not _PLAIN.match(str(sql)):
                raise sqlite3.DatabaseError(
                    f"its schema has more than tables and indexes: {str(sql)[:80]!r}"
                )
        self._columns = {table: self._columns_of(table) for table in _REQUIRED}
        if not self._columns["topics"] or not self._columns["messages"]:
            raise sqlite3.DatabaseError("it has no tables 'topics' and 'messages'")

    def _columns_of(self, table: str) -> set[str]:
        columns = set()
        for _, name, _, _, _, _, hidden in self._query(f"PRAGMA table_xinfo({table})"):
            if hidden or name not in _REQUIRED[table] | _OPTIONAL:
                raise sqlite3.DatabaseError(f"its table {table} has a column {name!r} of its own")
            columns.add(name)
        if columns and (lacking := _REQUIRED[table] - columns):
            raise sqlite3.DatabaseError(f"its table {table} lacks {', '.join(sorted(lacking))}")
        return columns

    def _read_topics(self, counts: Mapping[int, int]) -> None:
        definitions: dict[str, str] = {}
        if self._columns["message_definitions"]:
            definitions = {
                msgtype: text
                for msgtype, encoding, text in self._query(
                    "SELECT topic_type, encoding, encoded_message_definition "
                    "FROM message_definitions ORDER BY id DESC"
                )
                if encoding == MSG_FORM and isinstance(text, str)
            }
        qos = "offered_qos_profiles" if "offered_qos_profiles" in self._columns["topics"] else "''"
        for key, topic, msgtype, encoding, profiles in self._query(
            f"SELECT id, name, type, serialization_format, {qos} FROM topics ORDER BY id"
        ):
            if not (isinstance(key, int) and isinstance(topic, str) and isinstance(msgtype, str)):
                raise sqlite3.DatabaseError(
                    f"its topic {topic!r} has a name or type that is no text"
                )
            if encoding != "cdr":
                self.left_out[topic] = f"{str(encoding)[:40]!r} messages"
                continue
            count, definition = counts.get(key, 0), definitions.get(msgtype, "")
            self.topics[key] = Topic(topic, msgtype, count, (profiles,), definition)

    def _message(self, row: int) -> tuple[int, int, bytes] | None:
        """Return topic id, log time and data of a row, or None if there is no such row."""
        found = self._database.execute(
            "SELECT topic_id, timestamp, data FROM messages WHERE rowid = ?", (row,)
        ).fetchone()
        if found is None:
            return None
        topic, log_time, data = found
        if not (isinstance(topic, int) and isinstance(log_time, int) and isinstance(data, bytes)):
            raise sqlite3.DatabaseError(f"its message {row} has columns of other types")
        return topic, log_time, data

    def _query(self, sql: str) -> Iterator[tuple[Any, ...]]:
        try:
            yield from self._database.execute(sql)
        except sqlite3.OperationalError as error:
            if self._ticks <= self._budget:
                raise
            raise sqlite3.DatabaseError("its tables hold more rows than its size allows") from error

    def _tick(self) -> bool:
        self._ticks += 1
        return self._ticks > self._budget


def _authorize(action: int, first: str | None, second: str | None, _: Any, inner: Any) -> int:
    """Allow what our own queries do, and nothing to a view or trigger (`inner`)."""
    allowed = inner is None and (
        action == sqlite3.SQLITE_SELECT
        or (action == sqlite3.SQLITE_READ and first in (*_REQUIRED, "sqlite_master"))
        or (action == sqlite3.SQLITE_FUNCTION and second in ("count", "min", "max"))
        or (action == sqlite3.SQLITE_PRAGMA and first == "table_xinfo")
    )
    return sqlite3.SQLITE_OK if allowed else sqlite3.SQLITE_DENY
