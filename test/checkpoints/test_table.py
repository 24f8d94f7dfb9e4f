"""The table of checkpoints is whole and consistent."""

import re

import pytest

from objectomaly_ros.checkpoints.errors import CheckpointError
from objectomaly_ros.checkpoints.table import TABLE, cache_dir, find
from objectomaly_ros.detectors import DETECTORS
from objectomaly_ros.masks import MASK_GENERATORS


def test_every_entry_is_complete():
    for name, entry in TABLE.items():
        assert entry.name == name
        assert entry.url.startswith("https://")
        assert entry.licence
        assert entry.serves
        assert re.fullmatch(r"[0-9a-f]{64}", entry.sha256 or "0" * 64)
        # No figure without its source.
        assert bool(entry.seen) == bool(entry.size or entry.sha256)
        assert entry.by_hand == ("drive.google.com" in entry.url)


def test_files_do_not_collide():
    files = [entry.file for entry in TABLE.values()]
    assert len(set(files)) == len(files)


def test_every_detector_that_needs_a_checkpoint_has_one():
    served = {name for entry in TABLE.values() for name in entry.serves}
    assert {"mask2anomaly", "rba", "uno", "eam", "maskomaly", "rpl"} <= served & set(DETECTORS)


def test_every_mask_generator_with_weights_has_a_checkpoint():
    served = {name for entry in TABLE.values() for name in entry.serves}
    assert {name for name in MASK_GENERATORS if "sam" in name or "tam" in name} <= served
    assert served <= {*MASK_GENERATORS, *DETECTORS}


def test_non_commercial_weights_say_so():
    assert "CC BY-NC" in TABLE["maskomaly"].licence
    assert "GPL-2.0" in TABLE["maskomaly"].licence


def test_sams_md5_is_the_end_of_its_name():
    assert TABLE["sam_vit_h"].md5_start == "4b8939"


def test_find_lists_the_names():
    assert find("rpl").name == "rpl"
    with pytest.raises(CheckpointError, match=r"called 'sam_vit_g' \(did you mean .*sam_vit_h"):
        find("sam_vit_g")
    with pytest.raises(CheckpointError, match=r"no checkpoint is called 'nonsense'; there are eam"):
        find("nonsense")


FAMILIES = {"rba": 4, "uno": 2, "eam": 1, "sam_vit": 3, "sam": 3, "sam2": 8, "sam2.1": 4}


@pytest.mark.parametrize("family", FAMILIES)
def test_the_members_of_a_family_are_listed(family):
    with pytest.raises(CheckpointError) as caught:
        find(family)
    text = str(caught.value)
    assert text.startswith(f"{family} is a family, name a member: {family}")
    assert text.count("; ") >= FAMILIES[family] - 1
    members = [name for name in TABLE if f"{name} (" in text or name in text.split("; ")[-1]]
    assert len(members) >= 1


@pytest.mark.parametrize("detector", [*DETECTORS, *MASK_GENERATORS])
def test_every_model_with_published_weights_leads_to_them(detector):
    served = {each.name for each in TABLE.values() if detector in each.serves}
    if detector in TABLE or not served:
        return
    with pytest.raises(CheckpointError) as caught:
        find(detector)
    assert all(name in str(caught.value) for name in served)


def test_cache_dir(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv("OBJECTOMALY_CACHE", raising=False)
    assert cache_dir() == tmp_path / "objectomaly"
    monkeypatch.setenv("OBJECTOMALY_CACHE", str(tmp_path / "own"))
    assert cache_dir() == tmp_path / "own"
