"""The models of a run: published checkpoints from the cache, or stand-ins with random weights."""

from __future__ import annotations

import copy
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch

from objectomaly_ros.benchmark import networks
from objectomaly_ros.benchmark.masks import thresholds
from objectomaly_ros.benchmark.street import draw_street
from objectomaly_ros.checkpoints.table import TABLE, cache_dir
from objectomaly_ros.detectors import load_detector
from objectomaly_ros.masks import mobile_sam, sam2_weights
from objectomaly_ros.masks.sam.generator import SamMasks
from objectomaly_ros.masks.sam.loading import load_network, mask_generator
from objectomaly_ros.masks.tiny_vit import TinyViT
from objectomaly_ros.types import Detector
from tools.benchmarks.detectors import semantic_stand_in, stand_in
from tools.gpu import tiny as small
from tools.gpu.rows import PACKAGE, PUBLISHED, STAND_IN

_TINY_VIT = {"img_size": 256, "widths": (8, 16, 32, 40), "depths": (1, 1, 1, 1)}


def published(name: str) -> Path | None:
    """Return the first checkpoint of a model in the cache of `objectomaly checkpoints`."""
    files = (cache_dir() / entry.file for entry in TABLE.values() if name in entry.serves)
    return next((file for file in files if file.is_file()), None)


def weights(name: str, tiny: bool) -> str:
    """Return which weights a model of this name has here."""
    if name == "embedded":
        return PACKAGE
    return STAND_IN if tiny or published(name) is None else PUBLISHED


def detector(name: str, device: str, tiny: bool = False, **options: Any) -> Detector:
    """Return a detector with its published weights if they are in the cache, else a stand-in."""
    if name == "embedded":
        return load_detector(name, device=device, **options)
    if name == "semantic":
        return semantic_stand_in(device)
    if not tiny and (file := published(name)) is not None:
        return load_detector(name, file, device, **options)
    if not tiny:
        return stand_in(name, device=device, **options)
    architecture = small.ARCHITECTURES.get(name)
    if architecture is not None:
        options = {"input_size": None, **options}
    return stand_in(name, architecture, small.RPL_WIDTH, device=device, **options)


@lru_cache(maxsize=1)
def _sam(name: str, tiny: bool) -> Any:
    """Return a SAM on the CPU; cached, because filling ViT-H takes seconds."""
    if name == "mobile_sam" and tiny:
        sam = mobile_sam.build(TinyViT(**_TINY_VIT, heads=(1, 2, 4, 5)))  # type: ignore[arg-type]
    else:
        sam = networks.build(networks.TINY if tiny else name)
    file = None if tiny else published(name)
    if file is None:
        networks.fill(sam)
    else:
        load_network(name, lambda: sam, file)
    return sam.eval().requires_grad_(False)


def sam(name: str, device: str, tiny: bool) -> Any:
    """Return a `segment_anything.modeling.Sam` on its device."""
    return copy.deepcopy(_sam(name, tiny)).to(device)


def sam2(name: str, device: str, tiny: bool) -> Any:
    """Return a Sam2Model on its device."""
    if tiny:
        return small.sam2().to(device)
    network = sam2_weights.architecture(name)
    file = published(name)
    if file is None:
        torch.manual_seed(0)
        small.fill_sam2(network)
    else:
        from objectomaly_ros.checkpoints.names import load_tensors

        load_tensors(network, sam2_weights.read_official(file, name), str(file))
    return network.eval().to(device)


def node_detector(
    checkpoint: str | None = None, device: str = "cpu", *, tiny: bool = False
) -> Detector:
    """Return Mask2Anomaly, for `detector.name` of the node."""
    return detector("mask2anomaly", device, tiny)


def node_masks(
    checkpoint: str | None = None, device: str = "cpu", *, tiny: bool = False
) -> SamMasks:
    """Return SAM ViT-H, for `masks.name` of the node."""
    network = sam("sam_vit_h", device, tiny)
    options: dict[str, Any] = {"points_per_side": 4 if tiny else 32}
    if weights("sam_vit_h", tiny) == STAND_IN:
        image = draw_street(96, 160) if tiny else draw_street(360, 640)
        options |= thresholds(network, image, options)
    return mask_generator(network, **options)
