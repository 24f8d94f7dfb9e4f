"""Recordings and results at URLs: the same bytes, whatever breaks on the way."""

import json
import shutil
import sys
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

pytest.importorskip("fsspec", reason="URLs need fsspec: pip install 'objectomaly_ros[fleet]'")

from offline_drives import contents, job, process

from objectomaly_ros.bags.errors import BagError
from objectomaly_ros.cli.main import main
from objectomaly_ros.obstacles.false_alarms import MIN_AREA
from objectomaly_ros.offline import remote
from objectomaly_ros.offline.remote import base_name, download, listing, listings, location, upload
from objectomaly_ros.offline.run import names, run

DETECTOR = "remote_files:Redness"
QUICK = job(detector=DETECTOR, masks="none")


@pytest.fixture(autouse=True)
def shaky(monkeypatch):
    import remote_files  # registers the protocol in this process

    monkeypatch.setattr(remote, "_PAUSE_S", 0.0)
    return remote_files


def results(out):
    bags = [folder for folder in sorted(out.iterdir()) if (folder / "metadata.yaml").exists()]
    return {folder.name: contents(folder) for folder in bags}


def copies(out):
    return list(out.glob(".run/*/copy"))


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("drive.mcap", Path("drive.mcap")),
        ("file:///a/drive.mcap", Path("/a/drive.mcap")),
        ("s3://bucket/drive.mcap", "s3://bucket/drive.mcap"),
        ("zip://a.mcap::s3://bucket/b.zip", "zip://a.mcap::s3://bucket/b.zip"),
        ("odd:name.mcap", Path("odd:name.mcap")),
    ],
)
def test_urls_and_paths(text, meant):
    assert location(text) == meant


def test_names_of_urls(tmp_path):
    (tmp_path / "day.1").mkdir()
    url = f"shaky://{tmp_path}/day.1"
    assert names([url], {url}) == ["day.1"]
    assert names([url, f"{url}/day.mcap"]) == ["day", "day_2"]
    assert base_name("https://host/a%20b.mcap?key=x/y.z") == "a b.mcap"
    assert base_name("zip://in/a.mcap::s3://bucket/b.zip") == "a.mcap"
    assert base_name("s3://bucket/drive/") == "drive"


def test_remote_recordings_give_the_same_bytes(make_drive, make_folder, tmp_path):
    paths = [make_drive(topics=("/a/image", "/b/image")), make_folder()]
    local = [process(path, tmp_path / "local", QUICK, name=path.name) for path in paths]
    size = []
    urls = [f"shaky://{path}" for path in paths]
    far = run(urls, tmp_path / "far", QUICK, 2, segment_frames=10, copied=size.append)
    assert not far.failed
    assert results(tmp_path / "far") == results(tmp_path / "local")
    assert sum(size) == sum(file.stat().st_size for path in paths for file in path.iterdir())
    assert not copies(tmp_path / "far")
    summary, other = (json.loads(one.summary.read_text()) for one in (far.done[0], local[0]))
    assert summary.pop("path") == urls[0]
    assert other.pop("path") == str(paths[0])
    assert summary == other


def test_what_breaks_on_the_way_harms_nothing_else(make_drive, tmp_path):
    good = (make_drive() / "drive.mcap").read_bytes()
    far = tmp_path / "far"
    far.mkdir()
    for name in ("hiccups", "vanishes", "breaks", "ends_early", "good"):
        (far / f"{name}.mcap").write_bytes(good)
    (far / "noise.mcap").write_bytes(b"noise" * 100)
    urls = [f"shaky://{path}" for path in sorted(far.iterdir())] + [f"shaky://{far}/missing.mcap"]
    report = run(urls, tmp_path / "out", QUICK, 2)
    assert [place.name for place in report.done] == ["good", "hiccups"]
    reasons = {place.name: reason for place, reason in report.failed.items()}
    assert set(reasons) == {"vanishes", "breaks", "ends_early", "noise", "missing"}
    assert "cannot read shaky:" in reasons["vanishes"]
    assert "connection reset" in reasons["breaks"]
    assert f"ended after 60000 of {len(good)} bytes" in reasons["ends_early"]
    assert "there is nothing at shaky:" in reasons["missing"]
    found = results(tmp_path / "out")
    for name in ("hiccups", "good"):
        process(far / f"{name}.mcap", tmp_path / "local", QUICK, name=name)
    assert found == results(tmp_path / "local")
    assert not copies(tmp_path / "out")
    assert f"shaky://{far}/noise.mcap" in reasons["noise"]
    assert "/copy/" not in reasons["noise"]


def test_a_copy_goes_on_where_it_was_broken_off(tmp_path):
    (tmp_path / "breaks.bin").write_bytes(bytes(range(256)) * 1000)
    url, copy = f"shaky://{tmp_path}/breaks.bin", tmp_path / "copy" / "breaks.bin"
    files = listing(url)
    with pytest.raises(BagError, match="connection reset"):
        download(url, copy, files)
    part = copy.with_name("breaks.bin.part")
    had = part.stat().st_size
    assert had >= 60_000
    assert not copy.exists()
    size = []
    shutil.move(tmp_path / "breaks.bin", tmp_path / "whole.bin")
    files = listing(f"shaky://{tmp_path}/whole.bin")
    download(f"shaky://{tmp_path}/whole.bin", copy, files, size.append)
    assert sum(size) == 256_000 - had
    assert copy.read_bytes() == (tmp_path / "whole.bin").read_bytes()
    assert not part.exists()
    download(f"shaky://{tmp_path}/whole.bin", copy, files, size.append)
    assert sum(size) == 256_000 - had
    assert [file.name for file in copy.parent.iterdir()] == ["breaks.bin"]


def test_a_recording_that_changes_during_the_run_is_told(tmp_path):
    file = tmp_path / "a.bin"
    file.write_bytes(b"abc")
    files = listing(f"shaky://{file}")
    file.write_bytes(b"abd")
    with pytest.raises(BagError, match="has changed since the run began"):
        download(f"shaky://{file}", tmp_path / "copy", files)


def test_a_disk_without_space_for_a_copy_is_named(tmp_path, small_disk):
    (tmp_path / "a.bin").write_bytes(bytes(200_000))
    url = f"shaky://{tmp_path}/a.bin"
    with pytest.raises(OSError, match=f"no space left for a copy of {url}"):
        download(url, small_disk / "copy" / "a.bin", listing(url))


def test_results_are_moved_to_a_url_and_taken_over_elsewhere(make_drive, tmp_path, capsys):
    paths = [make_drive("one"), make_drive("two", count=5)]
    options = ["--workers", "1", "--detector", DETECTOR, "--masks", "none", "--roi", "none"]
    chosen = job(detector=DETECTOR, masks="none", min_area=MIN_AREA)
    local = [process(path, tmp_path / "local", chosen, name=path.name) for path in paths]
    target, url = tmp_path / "target", f"shaky://{tmp_path}/target"

    def bag(work, *paths):
        command = ["bag", *map(str, paths), "--out", url, "--work", str(tmp_path / work)]
        return main([*command, *options])

    assert bag("first", f"shaky://{tmp_path}/o*e") == 0
    assert f"see {url}/index.html" in capsys.readouterr().out
    assert not (tmp_path / "first" / "one").exists()  # it was moved
    kept = (target / "one" / "one.mcap").stat().st_mtime_ns
    assert (
        bag("second", f"shaky://{tmp_path}/one", paths[1]) == 0
    )  # of a machine that has only the URL
    assert (target / "one" / "one.mcap").stat().st_mtime_ns == kept
    assert results(target) == results(tmp_path / "local")
    tables = b"".join(place.table.read_bytes() for place in local)
    assert (target / "obstacles.jsonl").read_bytes() == tables
    assert not list(target.rglob("*.part"))
    options += ["--every", "2"]
    assert bag("third", paths[1]) == 1
    assert "every was 1, now 2" in capsys.readouterr().err


def test_results_that_cannot_be_moved_are_kept_and_moved_later(make_folder, tmp_path, monkeypatch):
    far, out = f"shaky://{tmp_path}/far", tmp_path / "work"
    path = make_folder("no_uploads")
    monkeypatch.setenv("NO_UPLOADS", "1")
    report = run([path], out, QUICK, 1, target=far)
    (reason,) = report.failed.values()
    assert reason.startswith(f"cannot write {far}/.run/no_uploads: ")
    whole = results(out)
    assert set(whole) == {"no_uploads"}
    assert not results(tmp_path / "far")
    monkeypatch.delenv("NO_UPLOADS")
    report = run([path], out, QUICK, 1, target=far)
    assert not report.failed
    assert results(tmp_path / "far") == whole
    assert not results(out)


def test_a_target_with_other_files_is_refused(make_folder, tmp_path):
    (tmp_path / "far").mkdir()
    (tmp_path / "far" / "letter.txt").write_text("mine")
    with pytest.raises(BagError, match="holds files of no run: choose another --out"):
        run([make_folder()], tmp_path / "out", QUICK, 1, target=f"shaky://{tmp_path}/far")


def test_missing_packages_are_named(monkeypatch, tmp_path):
    with pytest.raises(BagError, match="Protocol not known: nosuch"):
        listing("nosuch://bucket/a.mcap")
    for name in ("s3fs", "fsspec.implementations.http"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ImportError, match=r"s3://bucket/a needs s3fs.*: pip install s3fs"):
        listing("s3://bucket/a")
    monkeypatch.setitem(sys.modules, "fsspec.core", None)
    with pytest.raises(ImportError, match=r"pip install 'objectomaly_ros\[fleet\]'"):
        listing("s3://bucket/a")


def test_a_missing_package_fails_only_the_urls_that_need_it(
    make_folder, tmp_path, monkeypatch, capsys
):
    monkeypatch.setitem(sys.modules, "s3fs", None)
    urls = ["s3://bucket/a.mcap", "s3://bucket/drives/*.mcap"]
    command = ["bag", *urls, str(make_folder(count=2)), "--out", str(tmp_path / "out"), "--json"]
    assert main([*command, "--detector", DETECTOR, "--masks", "none", "--workers", "1"]) == 3
    found = json.loads(capsys.readouterr().out)
    assert [one["frames"] for one in found["recordings"][0]["streams"]] == [2]
    assert list(found["failed"]) == urls
    for url, reason in found["failed"].items():
        assert reason == f"{url} needs s3fs, which is not installed: pip install s3fs"
    monkeypatch.setitem(sys.modules, "fsspec.core", None)
    (reason,) = listings(urls[:1]).values()
    assert "needs fsspec, which is not installed: pip install" in str(reason)


def test_memory_as_the_far_side(tmp_path):
    (tmp_path / "bag").mkdir()
    for name in ("metadata.yaml", "bag.mcap"):
        (tmp_path / "bag" / name).write_text(name)
    upload(tmp_path / "bag", "memory://results/bag")
    files = listing("memory://results/bag")
    assert [file.name for file in files.files] == ["bag.mcap", "metadata.yaml"]
    download("memory://results/bag", tmp_path / "copy", files)
    assert contents(tmp_path / "copy") == contents(tmp_path / "bag")


def test_a_recording_of_a_web_server(make_drive, tmp_path):
    pytest.importorskip("aiohttp", reason="http:// needs aiohttp")
    path = make_drive("web", count=5)
    handler = partial(SimpleHTTPRequestHandler, directory=str(tmp_path))
    handler.log_message = None
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}/web/web.mcap"
        report = run([url, f"{url}.missing"], tmp_path / "out", QUICK, 1)
        server.shutdown()
    assert [place.name for place in report.done] == ["web"]
    process(path / "web.mcap", tmp_path / "local", QUICK, name="web")
    assert results(tmp_path / "out") == results(tmp_path / "local")
