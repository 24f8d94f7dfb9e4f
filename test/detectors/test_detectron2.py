"""The detectron2 wrapper, as far as it can be tested without detectron2."""

import importlib.util

import pytest

from objectomaly_ros.detectors import load_detector


@pytest.mark.skipif(importlib.util.find_spec("detectron2") is not None, reason="it is installed")
def test_without_detectron2_the_message_says_what_to_do():
    with pytest.raises(ImportError, match=r"detectron2 does not import.*run here without it"):
        load_detector("detectron2", checkpoint="model.pth", config="config.yaml")
