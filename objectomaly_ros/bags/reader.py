"""Opens recordings, MCAP, SQLite and ROS 1, folder or single file, compressed or damaged."""

from __future__ import annotations

import difflib
import logging
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path, PurePath
from tempfile import TemporaryDirectory
from typing import Any

from objectomaly_ros.bags.compact import begins_with_header
from objectomaly_ros.bags.errors import BagError, list_names
from objectomaly_ros.bags.mcap import McapFile
from objectomaly_ros.bags.ros1 import Ros1File
from objectomaly_ros.bags.sqlite import SqliteFile
from objectomaly_ros.bags.storage import (
    FIRST_TIME,
    LAST_TIME,
    RawMessage,
    Topic,
    compression_of,
    inflate,
    inflate_file,
    merge_by_time,
)
from objectomaly_ros.bags.typestore import make_typestore, store_from_definition
from objectomaly_ros.files.reading import parse_yaml, printable, read_bytes

IMAGE_TYPES = ("sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage")
MAX_METADATA_BYTES = 16 * 2**20
_NEWEST_VERSION = 9
_SHOWN = 20  # topics in a message
_File = McapFile | SqliteFile | Ros1File
_OPENERS: dict[str, Callable[[Path], _File]]
_OPENERS = {".mcap": McapFile, ".db3": SqliteFile, ".bag": Ros1File}
_ZSTD = (".zstd", ".zst")
_UNPACKERS = {".gz": "gunzip", ".bz2": "bunzip2", ".xz": "unxz", ".lz4": "unlz4", ".zip": "unzip"}
_DAMAGE = Exception  # damaged bytes cause errors of struct, zstd, lz4, SQLite and others

logger = logging.getLogger(__name__)


class Bag:
    """An open bag; a context manager.

    Attributes:
        path: of the bag.
        damage: what is wrong with a bag of which only a part can be read, else None. Reading does
            not raise at damage: it ends there, sets this and logs it.
    """

    def __init__(self, path: Path | str) -> None:
        """Open a bag.

        Args:
            path: a bag folder, with or without its metadata.yaml, or one .mcap, .db3 or (ROS 1)
                .bag file. Files may be compressed as a whole (.mcap.zstd) or message by message.

        Raises:
            BagError: there is no bag, or nothing of it can be read.
        """
        self.path = Path(path)
        self.damage: str | None = None
        self._stack = ExitStack()
        self._stores: dict[str, Any] = {}
        self._files: list[_File] = []
        self._strange: list[_File] = []  # with messages that are no CDR
        try:
            self._open()
        except BaseException:
            self._stack.close()
            raise

    def __enter__(self) -> Bag:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the files and remove temporary copies."""
        self._stack.close()

    @property
    def topics(self) -> dict[str, Topic]:
        """The topics by name."""
        found: dict[str, Topic] = {}
        for topic in self._file_topics():
            before = found.get(topic.name)
            if before:
                profiles = tuple(dict.fromkeys((*before.profiles, *topic.profiles)))
                topic = replace(before, count=before.count + topic.count, profiles=profiles)
            found[topic.name] = topic
        return dict(sorted(found.items()))

    @property
    def start(self) -> int:
        """Log time (ns) of the first message, 0 without any."""
        return min((file.start for file in self._files if file.start <= file.end), default=0)

    @property
    def duration(self) -> float:
        """Seconds between the first and the last message."""
        ends = (file.end for file in self._files if file.start <= file.end)
        return float(max(ends, default=0) - self.start) / 1e9

    def count(self, topic: str) -> int:
        """Return the number of a topic's messages, 0 if it is not in the bag."""
        return self.topics[topic].count if topic in self.topics else 0

    def image_topic(self, topic: str | None = None) -> Topic:
        """Check the name of an image topic, or find the only one.

        Raises:
            BagError: no such topic, no image topic, or several to choose from.
        """
        images = [known for known in self.topics.values() if known.msgtype in IMAGE_TYPES]
        chosen = [self.topic(topic)] if topic is not None else images
        if len(chosen) == 1 and chosen[0] in images:
            return chosen[0]
        if topic is not None:
            what = f"topic {topic} in {self.path} has type {chosen[0].msgtype}, which is no image"
            raise BagError(f"{what}; image topics: {_listed(images)}")
        if images:
            raise BagError(f"several image topics in {self.path}, name one: {_listed(images)}")
        raise BagError(
            f"no image topic in {self.path}; its topics: {_listed(self.topics.values())}"
        )

    def topic(self, name: str) -> Topic:
        """Look a topic up.

        Raises:
            BagError: it is not in the bag; the message lists what is.
        """
        topics = self.topics
        if name in topics:
            return topics[name]
        close = [topic for topic in topics if topic.startswith(f"{name}/")]  # of image_transport
        close += difflib.get_close_matches(name, topics, n=1, cutoff=0.6)
        hint = f" (did you mean {close[0]}?)" if close else ""
        raise BagError(
            f"topic {name} is not in {self.path}{hint}; its topics: {_listed(topics.values())}"
        )

    def messages(
        self, topics: Iterable[str] | None = None, start: int = FIRST_TIME, end: int = LAST_TIME
    ) -> Iterator[RawMessage]:
        """Yield the messages of these topics, or of all, in order of log time.

        Args:
            topics: their names; None for all.
            start: the first log time (ns).
            end: the last log time (ns).

        Raises:
            BagError: a topic is not in the bag.
        """
        wanted = self.topics if topics is None else {self.topic(name).name for name in topics}
        yield from merge_by_time(
            (max(file.start, start), self._read(file, wanted, start, end))
            for file in self._files
            if file.start <= end and file.end >= start
        )

    def is_stamped(self, msgtype: str) -> bool:
        """Return whether messages of a type begin with a std_msgs/Header, as far as is known."""
        try:
            return begins_with_header(self._store(msgtype), msgtype)
        except Exception:  # of definitions that are damaged, or not known
            return False

    def fields(self, topic: Topic) -> list[str]:
        """Return the fields of a topic's type by its definition in the bag; empty without one."""
        if not topic.definition:
            return []
        try:
            _, fields = store_from_definition(topic.definition, topic.msgtype).fielddefs[
                topic.msgtype
            ]
        except Exception:  # of definitions that are damaged
            return []
        return [name for name, _ in fields if name != "structure_needs_at_least_one_member"]

    def decode(self, message: RawMessage) -> Any:
        """Turn CDR bytes into a message object, by the bag's definition or else the usual one.

        Raises:
            BagError: no definition of the type, or the bytes are no such message.
        """
        try:
            store = self._store(message.msgtype)
            return store.deserialize_cdr(message.data, message.msgtype)
        except Exception as error:
            raise BagError(
                f"a message of {message.topic} ({message.msgtype}) cannot be decoded: "
                f"{str(error)[:300]}"
            ) from error

    def _store(self, msgtype: str) -> Any:
        if msgtype not in self._stores:
            definitions = (t.definition for t in self._file_topics() if t.msgtype == msgtype)
            given = "" if msgtype in IMAGE_TYPES else next(filter(None, definitions), "")
            self._stores[msgtype] = (
                store_from_definition(given, msgtype) if given else make_typestore()
            )
        return self._stores[msgtype]

    def _read(
        self, file: _File, topics: Collection[str], start: int, end: int
    ) -> Iterator[RawMessage]:
        good = 0
        try:
            for message in file.messages(topics, start, end):
                compression = compression_of(message.data)
                if compression is None:
                    self._note_stranger(file, message)
                    continue
                if compression:
                    message = replace(message, data=inflate(message.data, compression))
                good += 1
                yield message
        except _DAMAGE as error:
            self._note_damage(f"{file.path} is damaged after {good} messages ({error})")

    def _note_stranger(self, file: _File, message: RawMessage) -> None:
        if file in self._strange:
            return
        self._strange.append(file)
        begin = message.data[:4].hex(" ") or "nothing"
        self._note_damage(
            f"{file.path}: a message of {message.topic} is left out, as others like it will be: "
            f"it begins with {begin}, which is no CDR"
        )

    def _file_topics(self) -> Iterator[Topic]:
        return (topic for file in self._files for topic in file.topics.values())

    def _note_damage(self, what: str) -> None:
        self.damage = what = printable(what)
        logger.warning("%s; going on with what is readable", what)

    def _open(self) -> None:
        if not self.path.exists():
            raise BagError(f"no bag at {self.path}: there is no such file or folder")
        if not self.path.is_dir():
            self._open_file(self.path)
            return
        try:
            files = self._read_metadata()
        except FileNotFoundError:
            files = self._find_files("has no metadata.yaml (a recording that was not closed?)")
        except Exception as error:  # whatever the text leads to
            files = self._find_files(f"cannot be opened by its metadata.yaml ({error})")
        for file in files:
            try:
                self._open_file(file)
            except BagError as error:
                if len(files) == 1:
                    raise
                self._note_damage(str(error))
        if not self._files:
            raise BagError(
                f"none of the {len(files)} files of {self.path} can be read: {self.damage}"
            )

    def _read_metadata(self) -> list[Path]:
        text = read_bytes(self.path / "metadata.yaml", MAX_METADATA_BYTES).decode()
        information = parse_yaml(text, MAX_METADATA_BYTES)["rosbag2_bagfile_information"]
        if information["version"] > _NEWEST_VERSION:
            raise ValueError(f"version {information['version']} is not known")
        names = (PurePath(name).name for name in information["relative_file_paths"])
        files = [_present(self.path / name) for name in dict.fromkeys(names)]
        if not files:
            raise ValueError("it names no file")
        if missing := [file for file in files if not file.exists() or file.is_dir()]:
            raise ValueError(f"files are missing: {list_names(missing)}")
        mode = str(information.get("compression_mode") or "none").lower()
        if mode != "none" and information["compression_format"] != "zstd":
            raise ValueError(f"compression {information['compression_format']!r} is not supported")
        return files

    def _inflate(self, source: Path) -> Path:
        target = Path(self._stack.enter_context(TemporaryDirectory())) / source.stem
        try:
            return inflate_file(source, target)
        except (OSError, ValueError) as error:  # no room, or no end
            raise BagError(f"{source} cannot be decompressed: {error}") from error
        except _DAMAGE as error:  # the part before it is in `target`
            self._note_damage(f"{source} cannot be decompressed ({error})")
            return target

    def _find_files(self, trouble: str) -> list[Path]:
        held = sorted(self.path.iterdir())
        # Where a recorder was compressing, the file that it had not removed yet is the whole one.
        files = list(dict.fromkeys(_present(file) for file in held if _suffix(file) in _OPENERS))
        if not files:
            raise BagError(
                f"{self.path} {trouble} and no .mcap or .db3 file: it is no bag; "
                f"it holds {list_names(held)}"
            )
        self._note_damage(f"{self.path} {trouble}")
        return files

    def _open_file(self, path: Path) -> None:
        suffix = _suffix(path)
        if suffix not in _OPENERS:
            unpack = _UNPACKERS.get(path.suffix)
            hint = f"; decompress it first: {unpack} {path}" if unpack else ""
            raise BagError(
                f"{path} is no bag that can be read: its name ends in {path.suffix!r}, expected a "
                f"bag folder, .mcap or .db3, or .bag of ROS 1{hint}"
            )
        try:
            file = _OPENERS[suffix](self._inflate(path) if path.suffix in _ZSTD else path)
        except BagError:
            raise
        except _DAMAGE as error:
            why = "it is a pointer of Git LFS, not the file itself: run git lfs pull"
            why = why if _is_lfs_pointer(path) else str(error)
            raise BagError(f"{path} cannot be read as a {suffix} bag: {why}") from error
        self._stack.callback(file.close)
        self._note_left_out(path, file)
        self._files.append(file)
        if file.damage:
            if not file.topics:
                raise BagError(f"{path} is damaged and holds no readable message: {file.damage}")
            self._note_damage(f"{path} is damaged ({file.damage})")

    def _note_left_out(self, path: Path, file: _File) -> None:
        """Tell of topics that are not of ROS 2.

        Raises:
            BagError: no other topic is in the file.
        """
        if not file.left_out:
            return
        found = [f"{topic} ({what})" for topic, what in file.left_out.items()]
        shown = printable(", ".join(found[:_SHOWN]))
        if not file.topics:
            raise BagError(
                f"{path} holds no messages of ROS 2 (CDR), only: {shown}; convert it, or record "
                "it with ROS 2"
            )
        logger.warning("%s: left out, since they are not of ROS 2: %s", path, shown)


def is_bag(path: Path) -> bool:
    """Return whether a path looks like that of a bag, folder or file."""
    if path.is_dir():
        held = (_suffix(file) in _OPENERS for file in path.iterdir())
        return (path / "metadata.yaml").exists() or any(held)
    return _suffix(path) in _OPENERS


def _suffix(path: Path) -> str:
    """Return the ending that tells the storage: .mcap of a.mcap.zstd."""
    return Path(path.stem).suffix if path.suffix in _ZSTD else path.suffix


def _is_lfs_pointer(path: Path) -> bool:
    with suppress(OSError, ValueError):
        return read_bytes(path, 1024).startswith(b"version https://git-lfs")
    return False


def _present(path: Path) -> Path:
    """Return the file of a bag that is there: a recording may not be compressed to its end."""
    plain = path.with_suffix("") if path.suffix in _ZSTD else path
    packed = [plain.with_name(plain.name + end) for end in _ZSTD]
    return next((file for file in (plain, *packed) if file.exists()), path)


def _listed(topics: Iterable[Topic]) -> str:
    all_topics = list(topics)
    names = [f"{t.name} [{t.msgtype}, {t.count}]" for t in all_topics[:_SHOWN]]
    names += [f"{len(all_topics) - _SHOWN} more"] * (len(all_topics) > _SHOWN)
    return ", ".join(names) or "none"
