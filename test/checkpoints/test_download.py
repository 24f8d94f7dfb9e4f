"""Downloads against a real web server on this machine, whole and interrupted."""

import errno
import hashlib
import io
import shutil
import threading
import zipfile
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
        self.send_response(206 if start else 200)
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
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


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

    real = module.Path.open
    monkeypatch.setattr(
        module.Path,
        "open",
        lambda path, mode="r", **how: Full(path, "wb") if mode == "wb" else real(path, mode, **how),
    )
    with pytest.raises(CheckpointError, match="is full; nothing was left behind"):
        get(model, tmp_path)
    monkeypatch.undo()
    assert files(tmp_path) == []


def test_without_a_network_the_message_says_where_from_and_where_to(tmp_path, model, server):
    gone = replace(model, url="http://127.0.0.1:9/model.pth")
    with pytest.raises(CheckpointError) as failure:
        get(gone, tmp_path)
    assert "http://127.0.0.1:9/model.pth" in str(failure.value)
    assert str(tmp_path / "model.pth") in str(failure.value)


def test_moved_file(tmp_path, model):
    with pytest.raises(CheckpointError, match="answers 404"):
        get(replace(model, url=model.url + "x"), tmp_path)


def test_only_web_addresses(tmp_path, model):
    with pytest.raises(CheckpointError, match="no web address"):
        get(replace(model, url="file:///etc/passwd"), tmp_path)


def zipped(**members):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
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


def test_drive_files_come_with_instructions(tmp_path):
    with pytest.raises(CheckpointError) as failure:
        get(TABLE["uno_synthetic"], tmp_path)
    assert TABLE["uno_synthetic"].url in str(failure.value)
    assert str(tmp_path / "uno_synthetic.pth") in str(failure.value)
    (tmp_path / "uno_synthetic.pth").write_bytes(b"put there by hand")
    assert get(TABLE["uno_synthetic"], tmp_path).exists()
