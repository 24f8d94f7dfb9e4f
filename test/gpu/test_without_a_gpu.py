"""The code for a GPU, run on tensors that only say they are on one: devices must never mix.

torch's fake tensors have shapes, types and devices but no values, and refuse what a real GPU would:
to compute with a tensor of the host, or to be read there.
"""

import cv2
import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from objectomaly_ros.arrays import opencv_torch
from objectomaly_ros.detectors import score_rules
from objectomaly_ros.detectors.score_rules import Geometry
from objectomaly_ros.gpu import mbp as gpu_mbp
from objectomaly_ros.gpu import oasc as gpu_oasc

CACHES = (opencv_torch._nearest, opencv_torch._reflected, opencv_torch._weights)


@pytest.fixture
def gpu():
    """Let tensors be fake."""
    for cache in CACHES:
        cache.cache_clear()
    with FakeTensorMode():
        yield torch.device("cuda", 0)
    for cache in CACHES:
        cache.cache_clear()


@pytest.mark.parametrize("size", [(72, 125), (50, 77)])
@pytest.mark.parametrize("options", [{}, {"overlap": "smallest", "residual": 0.3}])
def test_oasc_and_mbp(gpu, size, options):
    score = torch.empty((72, 125), device=gpu)
    masks = torch.empty((12, *size), dtype=torch.bool, device=gpu)
    refined = gpu_mbp.refine_boundary(gpu_oasc.calibrate(score, masks, **options))
    assert refined.shape == (72, 125)
    assert (refined.dtype, refined.device) == (torch.float32, gpu)


@pytest.mark.parametrize("rule", ["mask2anomaly", "rba", "uno", "eam"])
def test_scores(gpu, rule):
    classes, masks = torch.empty((20, 20), device=gpu), torch.empty((20, 12, 24), device=gpu)
    geometry = Geometry((48, 96), (44, 80), (33, 47))
    score = getattr(score_rules, rule)(classes, masks, geometry)
    assert (score.shape, score.device) == ((33, 47), gpu)


def test_resizing(gpu):
    small = opencv_torch.resize_map(torch.empty((72, 125), device=gpu), (30, 40), cv2.INTER_AREA)
    assert (small.shape, small.device) == ((30, 40), gpu)


def test_the_check_can_fail(gpu):
    with pytest.raises(RuntimeError, match="on the same device"):
        torch.empty(3, device=gpu) + torch.empty(3)
