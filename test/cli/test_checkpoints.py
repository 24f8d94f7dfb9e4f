"""`objectomaly checkpoints` as people and machines use it."""

import json

import pytest
import torch

from objectomaly_ros.checkpoints.table import TABLE
from objectomaly_ros.cli.main import main


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    folder = tmp_path / "cache"
    folder.mkdir()
    monkeypatch.setenv("OBJECTOMALY_CACHE", str(folder))
    return folder


def test_list(capsys, cache):
    (cache / "mobile_sam.pt").write_bytes(b"x")
    assert main(["checkpoints", "list"]) == 0
    text = capsys.readouterr().out
    assert "* mobile_sam" in text
    assert "CC BY-NC" in text
    assert "NazirNayal8/RbA/releases" in text
    assert "uno_ade20k  [for uno; by hand (Google Drive)]" in text
    assert text.count("publishes") == 1
    unknown = text.partition("Nobody publishes size and hash of ")[2].replace("\n", " ")
    names = {name for name, each in TABLE.items() if not (each.size or each.sha256)}
    assert set(unknown.strip().removesuffix(".").split(", ")) == names


def test_list_for_machines(capsys, cache):
    assert main(["checkpoints", "list", "--json"]) == 0
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    assert rows["sam_vit_b"]["size"] == 375_042_383
    assert rows["sam_vit_b"]["path"] == str(cache / "sam_vit_b_01ec64.pth")
    assert not rows["sam_vit_b"]["present"]


def test_download_failures_are_all_reported(capsys):
    assert main(["checkpoints", "download", "--quiet", "nonsense", "uno_ade20k"]) == 1
    said = capsys.readouterr().err
    assert "no checkpoint is called 'nonsense'" in said
    assert "Google Drive" in said


def test_downloads_for_machines(capsys, cache):
    (cache / "uno_ade20k.pth").write_bytes(b"put there by hand")
    assert main(["checkpoints", "download", "--json", "nonsense", "uno_ade20k"]) == 3
    first, second = json.loads(capsys.readouterr().out)
    assert (first["name"], first["ok"]) == ("nonsense", False)
    assert "no checkpoint is called 'nonsense'" in first["error"]
    path = str(cache / "uno_ade20k.pth")
    assert second == {"name": "uno_ade20k", "ok": True, "path": path}


def test_verify(capsys, tmp_path, cache):
    torch.save({"model": {"branch1.mod1.conv1.weight": torch.zeros(2)}}, cache / "rpl.pth")
    torch.save({"a": torch.zeros(2)}, tmp_path / "own.pth")
    (cache / "mobile_sam.pt").write_bytes(b"x")
    assert main(["checkpoints", "verify", "rpl", str(tmp_path / "own.pth")]) == 0
    text = capsys.readouterr().out
    assert "ok     rpl: no hash is published; 1 tensors of rpl" in text
    assert "1 tensors of unknown" in text
    assert main(["checkpoints", "verify", "--json"]) == 3  # all that is in the cache
    found = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    assert set(found) == {"rpl", "mobile_sam"}
    assert found["rpl"]["ok"]
    assert "1 bytes, mobile_sam has 40,728,226" in found["mobile_sam"]["found"]


def test_verify_nothing(capsys):
    assert main(["checkpoints", "verify"]) == 1
    assert "nothing to verify" in capsys.readouterr().err


def test_convert(capsys, tmp_path):
    torch.save({"model": {"module.a": torch.zeros(2)}}, tmp_path / "m.pth")
    assert main(["checkpoints", "convert", str(tmp_path / "m.pth")]) == 0
    assert (tmp_path / "m.safetensors").exists()
    assert main(["checkpoints", "convert", str(tmp_path / "m.pth")]) == 1
    assert "exists" in capsys.readouterr().err
    other = str(tmp_path / "other.safetensors")
    assert main(["checkpoints", "convert", str(tmp_path / "m.pth"), other, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["path"] == other
