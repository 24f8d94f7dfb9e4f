"""Targets that are files: bags, checkpoints, models, score maps."""

from __future__ import annotations

import contextlib
import functools
import io
import json
import pickle
import sqlite3
import tempfile
from pathlib import Path
from random import Random
from typing import Any

import cv2
import numpy as np
import onnx.parser
import torch
from rosbags.rosbag1 import Writer as Ros1Writer
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer
from rosbags.typesys import Stores, get_typestore
from safetensors.torch import save

from objectomaly_ros.bags.errors import BagError
from objectomaly_ros.bags.images import read_images
from objectomaly_ros.bags.make import write_frames_bag
from objectomaly_ros.bags.reader import IMAGE_TYPES, Bag
from objectomaly_ros.bags.typestore import make_typestore
from objectomaly_ros.checkpoints.errors import CheckpointError
from objectomaly_ros.checkpoints.reading import read_content
from objectomaly_ros.detectors.embedded import FORMAT
from objectomaly_ros.detectors.embedded_net import EmbeddedNet, NetConfig
from objectomaly_ros.detectors.embedded_torch import load_network
from objectomaly_ros.detectors.score_files import read_score_map
from objectomaly_ros.detectors.semantic import SemanticDetector
from tools.fuzz.messages import PICTURE
from tools.fuzz.mutations import NUMBERS, damage, damage_any, damage_text
from tools.fuzz.worker import Input, Target

Seeds = dict[str, bytes]
STORAGES = {"mcap": StoragePlugin.MCAP, "sqlite3": StoragePlugin.SQLITE3}

# --- bags

SCHEMA_CHANGES = (
    "DROP TABLE topics", "DROP TABLE messages", "DROP TABLE schema",
    "UPDATE schema SET schema_version = NULL", "UPDATE schema SET schema_version = 99",
    "UPDATE topics SET name = NULL", "UPDATE topics SET id = 1",
    "UPDATE topics SET type = 'no_such/msg/Type'", "UPDATE topics SET type = '../x/msg/../../y'",
    "UPDATE topics SET offered_qos_profiles = '[[[{depth: 1e99}'",
    "UPDATE messages SET data = NULL", "UPDATE messages SET data = 'text'",
    "UPDATE messages SET data = zeroblob(3000000)", "UPDATE messages SET timestamp = 'soon'",
    "UPDATE messages SET timestamp = -9e18", "UPDATE messages SET timestamp = 9223372036854775807",
    "UPDATE messages SET topic_id = 99", "UPDATE message_definitions SET encoding = 'xml'",
    "UPDATE message_definitions SET encoded_message_definition = NULL",
    "CREATE VIRTUAL TABLE words USING fts5(word)", "CREATE INDEX i ON messages (hex(data))",
    "CREATE TRIGGER t AFTER INSERT ON messages BEGIN DELETE FROM topics; END",
    "ALTER TABLE topics ADD COLUMN extra TEXT DEFAULT (randomblob(9999999))",
    "ALTER TABLE messages RENAME TO m; CREATE VIEW messages AS SELECT * FROM m",
    "ALTER TABLE messages RENAME TO m; CREATE TABLE messages (id INTEGER PRIMARY KEY, topic_id,"
    "timestamp, data AS (zeroblob(1999999999))); INSERT INTO messages SELECT id, topic_id,"
    "timestamp FROM m",
    "ALTER TABLE messages RENAME TO m; CREATE VIEW messages AS WITH RECURSIVE r(x) AS (SELECT 1 "
    "UNION ALL SELECT x + 1 FROM r) SELECT x AS id, 1 AS topic_id, x AS timestamp, x data FROM r",
    "UPDATE sqlite_master SET type = 'table' WHERE type = 'view'",
    "UPDATE sqlite_master SET sql = 'VACUUM INTO ''pwned''' WHERE name = 'schema'",
    "UPDATE sqlite_master SET sql = 'ATTACH ''pwned'' AS a' WHERE name = 'metadata'",
    "UPDATE sqlite_master SET rootpage = 2", "UPDATE sqlite_master SET rootpage = 99999",
)  # fmt: skip
IDL = "=" * 80 + "\nIDL: sensor_msgs/msg/Image\nmodule sensor_msgs { module msg { %s }; };"
DEFINITIONS = (
    "string[100000000] words", "uint8[4294967295] data", "Image[1000000] more", "Image me",
    "builtin_interfaces/Time[99999999] times", "uint8 class\nuint8 import", "uint8 a\nuint8 a",
    "string<=99999999999 a", "nowhere/Type a", 'string A="\\"+exit()+\\""\nuint8 b',
    "uint8 a" * 9999, IDL % "const long N = 1 << 9999999999; struct Image { octet a[N]; };",
    IDL % f"const long N = {'(' * 900}1{')' * 900};", IDL % "typedef B B; struct Image { B a; };",
)  # fmt: skip


@functools.cache
def bag_seeds() -> list[Seeds]:
    """Small bags by `bags.make`, in both storages, raw and compressed, and of ROS 1."""
    seeds = [_ros1_bag(compression) for compression in (None, *Ros1Writer.CompressionFormat)]
    for storage in STORAGES:
        for encoding in ("bgr8", "jpeg"):
            with tempfile.TemporaryDirectory() as folder:
                frames = [Path(folder) / f"{number}.png" for number in range(3)]
                for frame in frames:
                    cv2.imwrite(str(frame), PICTURE)
                bag = Path(folder) / "bag"
                write_frames_bag(frames, bag, start_ns=10**18, encoding=encoding, storage=storage)
                seeds.append(_files_of(bag))
    return seeds


def _ros1_bag(compression: Any) -> Seeds:
    store, msgtype = get_typestore(Stores.ROS1_NOETIC), "sensor_msgs/msg/CompressedImage"
    stamp = store.types["builtin_interfaces/msg/Time"](sec=1, nanosec=2)
    header = store.types["std_msgs/msg/Header"](seq=1, stamp=stamp, frame_id="camera")
    data = cv2.imencode(".png", PICTURE)[1].reshape(-1)
    image = store.types[msgtype](header=header, format="png", data=data)
    with tempfile.TemporaryDirectory() as folder:
        writer = Ros1Writer(Path(folder) / "drive.bag")
        if compression is not None:
            writer.set_compression(compression)
        with writer:
            connection = writer.add_connection("/image", msgtype, typestore=store, latching=1)
            for number in range(3):
                writer.write(connection, number, store.serialize_ros1(image, msgtype))
        return {"bag/drive.bag": writer.path.read_bytes(), "bag/metadata.yaml": b""}


def make_bag(random: Random) -> Input:
    """A bag with damaged bytes, a hostile schema or metadata, or hostile definitions."""
    kind = random.random()
    files = _written_bag(random) if kind < 0.2 else dict(random.choice(bag_seeds()))
    (storage,) = (name for name in files if not name.endswith(".yaml"))
    if 0.2 < kind < 0.5:
        if storage.endswith(".db3"):
            files[storage] = _changed_schema(files[storage], random)
    elif 0.5 < kind < 0.7:
        files["bag/metadata.yaml"] = damage_any(files["bag/metadata.yaml"], random)
    elif kind > 0.7:
        files[storage] = damage_any(files[storage], random)
    if random.random() < 0.3:
        del files["bag/metadata.yaml"]
    if random.random() < 0.03:
        files[storage + random.choice(("-wal", "-journal"))] = random.randbytes(600)
    return {"files": files, "open": random.choice(("bag", storage))}


def _changed_schema(data: bytes, random: Random) -> bytes:
    database = sqlite3.connect(":memory:", isolation_level=None)
    database.deserialize(data)
    database.execute("PRAGMA writable_schema = ON")
    for sql in random.choices(SCHEMA_CHANGES, k=random.choice((1, 1, 2, 4))):
        try:
            database.executescript(sql)
        except sqlite3.Error:
            continue  # an earlier change stands in its way
    return database.serialize()


def _written_bag(random: Random) -> Seeds:
    """A sound bag, perhaps compressed, of unsound messages and definitions."""
    store, plugin = make_typestore(), STORAGES[random.choice(list(STORAGES))]
    with tempfile.TemporaryDirectory() as folder:
        writer = Writer(Path(folder) / "bag", version=9, storage_plugin=plugin)
        modes = [m for m in CompressionMode if plugin == StoragePlugin.MCAP or m.name != "STORAGE"]
        writer.set_compression(random.choice(modes), CompressionFormat.ZSTD)
        with writer:
            for number in range(random.choice((1, 2, 5))):
                msgtype = random.choice((*IMAGE_TYPES, "std_msgs/msg/Header"))
                text, _ = store.generate_msgdef(msgtype, ros_version=2)
                if random.random() < 0.3:
                    text = random.choice(DEFINITIONS)
                elif random.random() < 0.3:
                    text = damage_text(text.encode(), random).decode(errors="replace")
                topic = random.choice(("/a", "", "../a", "/a" * 999, "/\u00e4 b")) + "x" * number
                connection = writer.add_connection(topic, msgtype, msgdef=text, rihs01="RIHS01_0")
                message = bytes.fromhex("00010000") + bytes(8) + b"\2\0\0\0a\0\0\0" + bytes(80)
                for _ in range(3):
                    writer.write(connection, random.choice((0, 5, 2**62)), damage(message, random))
        return _files_of(writer.path)


def _files_of(bag: Path) -> Seeds:
    return {f"bag/{file.name}": file.read_bytes() for file in sorted(bag.iterdir())}


def use_bag(given: Input, folder: Path) -> None:
    """Read everything of a bag, twice: as messages and as images."""
    with Bag(folder / given["open"]) as bag:
        topics = bag.topics
        bag.duration  # noqa: B018
        for message in bag.messages():
            with contextlib.suppress(BagError):
                bag.decode(message)
        for topic in topics.values():
            if topic.msgtype in IMAGE_TYPES:
                for image in read_images(bag, topic.name):
                    assert image.array.dtype == np.uint8, image.array.dtype
                    assert image.array.ndim == 3, image.array.shape


# --- checkpoints and models


class Net(torch.nn.Module):
    """A segmentation network of three classes."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Conv2d(3, 3, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return logits."""
        return self.layer(x).relu()


class WritingNet(Net):
    """Writes a file."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return logits, after that."""
        torch.from_file("pwned", shared=True, size=4).fill_(1.0)
        return self.layer(x)


ONNX = """<ir_version: 8, opset_import: ["" : 17]>
net (float[1,3,h,w] x) => (float[1,3,h,w] y) <float[3,3,1,1] k = {1,0,0,0,1,0,0,0,1}> {
    y = Conv(x, k)
}"""


@functools.cache
def checkpoint_seeds() -> Seeds:
    """Files of every container by name."""
    torch.manual_seed(0)
    torch.set_num_threads(1)
    net = Net().eval()
    tensors = net.state_dict()
    seeds: Seeds = {}
    for name, content, options in (
        ("plain.pth", tensors, {}),
        ("wrapped.pth", {"model": {"state_dict": tensors}, "iteration": np.float64(3)}, {}),
        ("legacy.pth", {"state_dict": tensors}, {"_use_new_zipfile_serialization": False}),
    ):
        buffer = io.BytesIO()
        torch.save(content, buffer, **options)
        seeds[name] = buffer.getvalue()
    arrays = {name: tensor.numpy() for name, tensor in tensors.items()}
    content = {"model": arrays, "matching_heuristics": True, "__author__": "me"}
    for protocol in (2, 4, 5):
        seeds[f"protocol{protocol}.pkl"] = pickle.dumps(content, protocol)
    nested: tuple[Any, ...] = ()
    for _ in range(60):
        nested = (nested, nested)
    key = pickle.dumps(nested, 2)[2:-1]  # hashing it takes for ever, so it is put in by hand
    seeds["key.pkl"] = b"\x80\2}" + key + b"K\1s."
    seeds["key_torch.pkl"] = seeds["legacy.pth"][:15] + seeds["key.pkl"] * 3
    seeds["call.pkl"] = b"\x80\2cposix\nsystem\nX\x0b\0\0\0touch pwned\x85R."
    seeds["list.pkl"] = b"\x80\2" + b"]" * 100000 + b"a" * 99999 + b"."
    seeds["plain.safetensors"] = save(tensors, {"format": "pt"})
    config = NetConfig(decoder=8, fine=8)
    texts = {"format": FORMAT, "config": json.dumps(config.as_dict()), "threshold": "0.5"}
    seeds["embedded.safetensors"] = save(EmbeddedNet(config).state_dict(), texts)
    for name, module in (("net.pt", net), ("writing.pt", WritingNet())):
        buffer = io.BytesIO()
        torch.jit.save(torch.jit.script(module), buffer)
        seeds[name] = buffer.getvalue()
    seeds["net.onnx"] = onnx.parser.parse_model(ONNX).SerializeToString()
    return seeds


def make_checkpoint(random: Random) -> Input:
    """A checkpoint of any container, damaged."""
    seeds = checkpoint_seeds()
    name = random.choice(list(seeds))
    return {"files": {name: damage_any(seeds[name], random)}, "open": name}


def use_checkpoint(given: Input, folder: Path) -> None:
    """Read a checkpoint's tensors, and run a model."""
    path = folder / given["open"]
    if path.suffix in (".pt", ".onnx"):
        score = SemanticDetector(path).score(PICTURE)
        assert score.shape == PICTURE.shape[:2], score.shape
    elif path.stem == "embedded":
        load_network(path)
    else:
        read_content(path)


# --- score maps


@functools.cache
def score_seeds() -> Seeds:
    """Score maps of every format, fit and unfit."""
    score = np.random.default_rng(2).random((12, 16)).astype(np.float32)
    seeds: Seeds = {}
    for index, array in enumerate(
        (score, score.astype(">f8"), np.asfortranarray(score[None]), score > 0.5,
         (score * 9).astype(np.int16), score.astype(complex), np.zeros(3, "f4,i2"))
    ):  # fmt: skip
        for suffix, write in ((".npy", np.save), (".npz", np.savez), (".npz", np.savez_compressed)):
            buffer = io.BytesIO()
            write(buffer, array)
            seeds[f"{index}{write.__name__}{suffix}"] = buffer.getvalue()
    pickled = io.BytesIO()
    np.save(pickled, np.array([{}], object), allow_pickle=True)
    seeds["object.npy"] = pickled.getvalue()
    for suffix, pixels in (
        (".png", (score * 65535).astype(np.uint16)), (".png", (score * 255).astype(np.uint8)),
        (".tif", score), (".tif", score.astype(np.float64)), (".tif", (score * 9).astype(np.int32)),
        (".tif", (score * 65535).astype(np.uint16)), (".png", PICTURE), (".tiff", PICTURE),
    ):  # fmt: skip
        seeds[f"{len(seeds)}{suffix}"] = cv2.imencode(suffix, pixels)[1].tobytes()
    return seeds


def make_score(random: Random) -> Input:
    """A score map file, damaged."""
    seeds = score_seeds()
    name = random.choice(list(seeds))
    data = damage_any(seeds[name], random)
    if name.endswith(".npy") and random.random() < 0.3:  # claims another shape of the same length
        shape = f"({random.choice(NUMBERS)}, {random.choice(NUMBERS)})".encode()
        data = seeds[name].replace(b"(12, 16)".ljust(len(shape)), shape)
    return {"files": {name: data}, "open": name}


def use_score(given: Input, folder: Path) -> None:
    """Read a score map."""
    score = read_score_map(folder / given["open"])
    assert score.dtype == np.float32, score.dtype
    assert score.ndim == 2, score.shape
    assert np.isfinite(score).all(), "values that are not finite"


HOME = (__name__,)
TARGETS = (
    Target("bags", make_bag, use_bag, (BagError,), HOME),
    Target("checkpoints", make_checkpoint, use_checkpoint, (CheckpointError, ValueError), HOME),
    Target("scores", make_score, use_score, (ValueError,), HOME),
)
