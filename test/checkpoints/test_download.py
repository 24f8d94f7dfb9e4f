"""Downloads against a real web server on this machine, whole and interrupted."""

import errno
import hashlib
import http.client
import io
import os
import shutil
import socket
import threading
import time
import urllib.request
import zipfile
from contextlib import suppress
from dataclasses import replace
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

from objectomaly_ros.checkpoints import download as module
from objectomaly_ros.checkpoints.download import download
from objectomaly_ros.checkpoints.errors import CheckpointError
from objectomaly_ros.checkpoints.table import TABLE, Checkpoint

CONTENT = np.random.default_rng(5).integers(0, 256, 300_000, dtype=np.uint8).tobytes()


class Site:
    """What the server offers, and how it misbehaves."""

    def __init__(self):
        self.content = CONTENT
        self.etag = '"one"'
        self.ranges = True
        self.break_after = None
        self.asked = []
        self.redirects = {}  # path -> address
        self.length = True
        self.pause = None  # an event to wait for
        self.range_sent = None  # instead of the true Content-Range


class Handler(BaseHTTPRequestHandler):
    def __init__(self, site, *args):
        self.site = site
        super().__init__(*args)

    def log_message(self, *args):
        pass

    def do_GET(self):
        site = self.site
        asked = self.headers.get("Range")
        site.asked.append(asked)
        if site.pause:
            site.pause.wait(10)
        if self.path in site.redirects:
            self.send_response(302)
            self.send_header("Location", site.redirects[self.path])
            self.end_headers()
            return
        if self.path != "/model.pth":
            self.send_error(404)
            return
        start = 0
        same = self.headers.get("If-Range") in (None, site.etag)
        if asked and site.ranges and same:
            start = int(asked.removeprefix("bytes=").rstrip("-"))
            if start >= len(site.content):
                self.send_error(416)
                return
        body = site.content[start:]
        self.send_response(206 if start or (asked and site.range_sent) else 200)
        if start or site.range_sent:
            whole = len(site.content)
            self.send_header(
                "Content-Range", site.range_sent or f"bytes {start}-{whole - 1}/{whole}"
            )
        if site.length:
            self.send_header("Content-Length", str(len(body)))
        if site.etag:
            self.send_header("ETag", site.etag)
        self.end_headers()
        self.wfile.write(body[: site.break_after])


@pytest.fixture
def site():
    return Site()


@pytest.fixture
def server(site):
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, site))
    thread = threading.Thread(target=partial(server.serve_forever, 0.01), daemon=True)
    thread.start()
    yield f"https://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


class WithoutTls(urllib.request.HTTPSHandler):
    """Speaks for https as everywhere, but to a server that has no certificate."""

    def https_open(self, request):
        return self.do_open(http.client.HTTPConnection, request)


@pytest.fixture(autouse=True)
def transport(monkeypatch):
    monkeypatch.setattr(module, "_transport", WithoutTls)
    for name in ("https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def model(server):
    return Checkpoint(
        "model",
        ("rba",),
        f"{server}/model.pth",
        "model.pth",
        "ours",
        size=len(CONTENT),
        sha256=hashlib.sha256(CONTENT).hexdigest(),
    )


def get(checkpoint, folder):
    return download(checkpoint, folder, quiet=True)


def files(folder):
    return sorted(file.name for file in folder.iterdir()) if folder.exists() else []


def test_whole(tmp_path, model, site, capsys):
    folder = tmp_path / "cache" / "deep"
    path = download(model, folder)
    assert path.read_bytes() == CONTENT
    assert files(folder) == ["model.pth"]
    assert "model.pth" in capsys.readouterr().err  # the progress bar
    assert get(model, folder) == path
    assert site.asked == [None]  # the second time nothing was fetched


def test_cache_moves_with_the_environment(tmp_path, model, monkeypatch):
    monkeypatch.setenv("OBJECTOMALY_CACHE", str(tmp_path / "elsewhere"))
    assert download(model, quiet=True) == tmp_path / "elsewhere" / "model.pth"


@pytest.mark.parametrize("etag", ['"one"', None])
def test_resumes_where_it_broke_off(tmp_path, model, site, etag):
    site.etag, site.break_after = etag, 100_000
    with pytest.raises(CheckpointError, match=r"broke off.*Run the command again"):
        get(model, tmp_path)
    assert not (tmp_path / "model.pth").exists()
    site.break_after = None
    assert get(model, tmp_path).read_bytes() == CONTENT
    assert site.asked == [None, "bytes=100000-"]
    assert files(tmp_path) == ["model.pth"]


def test_starts_over_where_the_server_cannot_resume(tmp_path, model, site):
    site.ranges, site.break_after = False, 50_000
    with pytest.raises(CheckpointError):
        get(model, tmp_path)
    site.break_after = None
    assert get(model, tmp_path).read_bytes() == CONTENT


def test_starts_over_where_the_file_has_changed(tmp_path, model, site):
    site.break_after = 100_000
    with pytest.raises(CheckpointError):
        get(model, tmp_path)
    site.content, site.etag, site.break_after = CONTENT[::-1], '"two"', None
    changed = replace(model, sha256=hashlib.sha256(site.content).hexdigest())
    assert get(changed, tmp_path).read_bytes() == site.content


def test_a_part_that_is_already_whole_is_used(tmp_path, model, site):
    (tmp_path / "model.pth.part").write_bytes(CONTENT)
    assert get(model, tmp_path).read_bytes() == CONTENT
    assert site.asked == []


def test_a_part_longer_than_the_file_is_thrown_away(tmp_path, model):
    (tmp_path / "model.pth.part").write_bytes(CONTENT + b"more")
    assert get(model, tmp_path).read_bytes() == CONTENT


def test_wrong_hash_leaves_nothing(tmp_path, model, site):
    site.content = b"x" * len(CONTENT)
    with pytest.raises(CheckpointError, match=r"SHA-256 is .*, the published one is"):
        get(model, tmp_path)
    assert files(tmp_path) == []


def test_wrong_size_leaves_nothing(tmp_path, model, site):
    site.content = CONTENT[:-1]
    with pytest.raises(CheckpointError, match="299,999 bytes, model has 300,000"):
        get(model, tmp_path)
    assert files(tmp_path) == []


def test_wrong_md5_start(tmp_path, model):
    start = hashlib.md5(CONTENT).hexdigest()[:6]
    assert get(replace(model, sha256=None, md5_start=start), tmp_path).exists()
    with pytest.raises(CheckpointError, match=r"MD5 is .* begins with ffffff"):
        get(replace(model, sha256=None, md5_start="ffffff"), tmp_path / "other")


def test_a_file_in_the_cache_is_checked(tmp_path, model):
    (tmp_path / "model.pth").write_bytes(CONTENT[:1000])
    with pytest.raises(CheckpointError, match="a download that broke off"):
        get(model, tmp_path)


def test_full_disk_known_beforehand_leaves_nothing(tmp_path, model, monkeypatch):
    usage = shutil.disk_usage(tmp_path)._replace(free=1000)
    monkeypatch.setattr(module.shutil, "disk_usage", lambda _: usage)
    with pytest.raises(CheckpointError, match=r"disk of .* is full; nothing was left behind"):
        get(model, tmp_path)
    assert files(tmp_path) == []


def test_full_disk_in_the_middle_leaves_nothing(tmp_path, model, monkeypatch):
    class Full(io.FileIO):
        def write(self, data):
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(module, "_open_own", lambda path: Full(path, "w+b"))
    with pytest.raises(CheckpointError, match="is full; nothing was left behind"):
        get(model, tmp_path)
    assert files(tmp_path) == []


def test_without_a_network_the_message_says_where_from_and_where_to(tmp_path, model, server):
    gone = replace(model, url="https://127.0.0.1:9/model.pth")
    with pytest.raises(CheckpointError) as failure:
        get(gone, tmp_path)
    assert "https://127.0.0.1:9/model.pth" in str(failure.value)
    assert str(tmp_path / "model.pth") in str(failure.value)


def test_moved_file(tmp_path, model):
    with pytest.raises(CheckpointError, match="answers 404"):
        get(replace(model, url=model.url + "x"), tmp_path)


@pytest.mark.parametrize("url", ["file:///etc/passwd", "http://127.0.0.1/a", "ftp://127.0.0.1/a"])
def test_only_https(tmp_path, model, site, url):
    with pytest.raises(CheckpointError, match=f"{url} is refused: .* https alone"):
        get(replace(model, url=url), tmp_path)
    site.redirects["/elsewhere"] = url
    with pytest.raises(
        CheckpointError, match=f"{url}( is refused: .* https alone|' is not allowed)"
    ):
        get(replace(model, url=model.url.replace("model.pth", "elsewhere")), tmp_path)
    assert files(tmp_path) == []


def test_redirects_over_https_are_followed_but_not_for_ever(tmp_path, model, site):
    site.redirects["/elsewhere"] = model.url
    moved = replace(model, url=model.url.replace("model.pth", "elsewhere"))
    assert get(moved, tmp_path / "a").read_bytes() == CONTENT
    site.redirects["/elsewhere"] = moved.url
    with pytest.raises(CheckpointError, match="answers 302"):
        get(moved, tmp_path / "b")


def test_a_server_without_a_certificate_is_not_trusted(tmp_path, model, monkeypatch):
    monkeypatch.undo()
    with pytest.raises(CheckpointError, match=r"cannot download model .*SSL"):
        get(model, tmp_path)
    assert files(tmp_path) == []


@pytest.mark.parametrize("sent", ["bytes 0-299999/300000", "bytes 100000-100009/300000", "pages 1"])
def test_another_range_than_the_one_asked_for_is_not_appended(tmp_path, model, site, sent):
    (tmp_path / "model.pth.part").write_bytes(CONTENT[:100_000])
    site.range_sent = sent
    assert get(model, tmp_path).read_bytes() == CONTENT
    assert site.asked == ["bytes=100000-", None]


@pytest.mark.parametrize("name", ["model.pth.part", "model.pth.part.etag"])
@pytest.mark.parametrize("plant", [os.symlink, os.link, lambda _, path: os.mkfifo(path)])
def test_planted_files_are_neither_followed_nor_used(tmp_path, model, site, name, plant):
    mine = tmp_path / "mine"
    mine.write_bytes(b"private")
    cache = tmp_path / "cache"
    cache.mkdir()
    if name.endswith("etag"):
        (cache / "model.pth.part").write_bytes(CONTENT[:100])
    plant(mine, cache / name)
    with pytest.raises(CheckpointError, match=f"{name} (is a link|belongs to somebody else)"):
        get(model, cache)
    assert mine.read_bytes() == b"private"
    assert site.asked == []


def test_a_link_in_the_targets_place_is_replaced(tmp_path, model):
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "model.pth").symlink_to(tmp_path / "planted")
    assert get(model, tmp_path / "cache").read_bytes() == CONTENT
    assert not (tmp_path / "planted").exists()


@pytest.mark.parametrize("length", [True, False])
def test_more_than_the_published_size_is_refused(tmp_path, model, site, length):
    site.length, site.content = length, CONTENT + b"more"
    with pytest.raises(CheckpointError, match="more than 300,000 bytes, the published size"):
        get(model, tmp_path)
    assert files(tmp_path) == []


def test_a_file_of_unknown_size_is_limited(tmp_path, model, monkeypatch):
    unknown = replace(model, size=None, sha256=None)
    monkeypatch.setattr(module, "_MAX_BYTES", 1000)
    with pytest.raises(CheckpointError, match="more than 1,000 bytes, the limit"):
        get(unknown, tmp_path)
    assert files(tmp_path) == []


def zipped(**members):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name.replace("__", "/") + ".pth", content)
    return buffer.getvalue()


def test_the_file_is_taken_out_of_its_archive(tmp_path, model, site):
    site.content = zipped(swin_b_1dl__model_final=b"weights", other=b"no")
    archive = replace(model, member="model_final.pth", size=None, sha256=None)
    assert get(archive, tmp_path).read_bytes() == b"weights"
    assert files(tmp_path) == ["model.pth"]


def test_an_archive_without_the_file_or_broken_leaves_nothing(tmp_path, model, site):
    archive = replace(model, member="model_final.pth", size=None, sha256=None)
    site.content = zipped(other=b"no")
    with pytest.raises(CheckpointError, match=r"holds no model_final\.pth, but other\.pth"):
        get(archive, tmp_path)
    site.content = b"PK\x03\x04 but no more"
    with pytest.raises(CheckpointError, match="no intact zip archive"):
        get(archive, tmp_path)
    assert files(tmp_path) == []


def test_a_file_in_an_archive_is_limited(tmp_path, model, site, monkeypatch):
    archive = replace(model, member="model_final.pth", size=None, sha256=None)
    site.content = zipped(model_final=bytes(1_000_000))
    monkeypatch.setattr(module, "_MAX_BYTES", 10_000)
    assert len(site.content) < 10_000
    with pytest.raises(CheckpointError, match="claims 1,000,000 bytes"):
        get(archive, tmp_path)
    site.content = site.content.replace(  # the claim is a lie
        (1_000_000).to_bytes(4, "little"), (1000).to_bytes(4, "little")
    )
    with pytest.raises(CheckpointError, match="no intact zip archive"):
        get(archive, tmp_path)
    assert files(tmp_path) == []


def test_drive_files_come_with_instructions(tmp_path):
    with pytest.raises(CheckpointError) as failure:
        get(TABLE["uno_synthetic"], tmp_path)
    assert TABLE["uno_synthetic"].url in str(failure.value)
    assert str(tmp_path / "uno_synthetic.pth") in str(failure.value)
    (tmp_path / "uno_synthetic.pth").write_bytes(b"put there by hand")
    assert get(TABLE["uno_synthetic"], tmp_path).exists()


OK = b"HTTP/1.1 200 OK\r\n"


@pytest.fixture
def answering():
    """A server that answers with these bytes, one after the other with a pause, to everybody."""
    listener = socket.create_server(("127.0.0.1", 0))

    def start(answer, pause=0):
        def serve():
            with suppress(OSError):
                while True:
                    connection, _ = listener.accept()
                    with connection, suppress(OSError):
                        connection.recv(1000)
                        for part in (
                            (answer,)
                            if pause is None
                            else [answer[n : n + 1] for n in range(len(answer))]
                        ):
                            connection.sendall(part)
                            time.sleep(pause or 0)

        threading.Thread(target=serve, daemon=True).start()
        return f"https://127.0.0.1:{listener.getsockname()[1]}/model.pth"

    yield start
    listener.close()


@pytest.mark.parametrize(
    "answer",
    [
        b"\0\xff no HTTP\r\n\r\n",
        b"HTTP/9.9 200 OK\r\n\r\n",
        OK + b"A: " + bytes(70_000) + b"\r\n\r\n",
        OK + b"A: b\r\n" * 200 + b"\r\n",
        OK + b"Content-Length: many\r\n\r\n",
        OK + b"Content-Length: " + b"9" * 5000 + b"\r\n\r\n",
        b"HTTP/1.1 302 Found\r\nLocation: https://host:port/\r\n\r\n",
        b"HTTP/1.1 302 Found\r\nLocation: https://[::1/\r\n\r\n",
        b"HTTP/1.1 302 Found\r\nLocation: https://" + b"a" * 300 + b"/\r\n\r\n",
    ],
)
def test_an_answer_that_is_no_http_is_told(answering, model, tmp_path, answer):
    wanted = replace(model, url=answering(answer))
    with pytest.raises(CheckpointError, match="gives an answer that is not understood"):
        get(wanted, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_server_that_sends_next_to_nothing_is_left(answering, model, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_SLOW_S", 0.1)
    length = f"Content-Length: {len(CONTENT)}\r\n\r\n".encode()
    wanted = replace(model, url=answering(OK + length + CONTENT[:200], pause=0.005))
    with pytest.raises(CheckpointError, match=r"bytes came in .* Run the command again to resume"):
        get(wanted, tmp_path)
    kept = (tmp_path / "model.pth.part").read_bytes()
    assert 0 < len(kept) < 200
    assert CONTENT.startswith(kept)


def test_two_downloads_of_one_file_do_not_meet(model, site, tmp_path):
    site.pause = threading.Event()
    first = threading.Thread(target=get, args=(model, tmp_path))
    first.start()
    while not site.asked:
        time.sleep(0.01)
    with pytest.raises(CheckpointError, match="another process downloads"):
        get(model, tmp_path)
    site.pause.set()
    first.join()
    assert (tmp_path / "model.pth").read_bytes() == CONTENT
    assert [path.name for path in tmp_path.iterdir()] == ["model.pth"]


def test_a_part_that_was_moved_into_place_is_not_written_to(tmp_path):
    part = tmp_path / "model.pth.part"
    with module._open_own(part) as file:
        part.rename(tmp_path / "model.pth")
        with pytest.raises(CheckpointError, match="another process downloads"):
            module._lock(file, part)


def test_a_damaged_archive_of_another_compression(model, site, tmp_path):
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("model.pth", CONTENT)
    site.content = packed.getvalue()[:60] + bytes(30) + packed.getvalue()[90:]
    wanted = replace(model, member="model.pth", size=None, sha256=None)
    with pytest.raises(CheckpointError, match="no intact zip archive"):
        get(wanted, tmp_path)
    assert list(tmp_path.iterdir()) == []
