"""The part of detectron2 that our wrapper calls, written from its documentation.

A configuration refuses keys that it does not know, sizes follow `ResizeShortestEdge`, and a model
takes a list of dictionaries and pads and normalises by itself.
"""

import sys
import types

import torch
import yaml
from torch import nn
from torch.nn import functional as F

CLASSES = 4


class Node(dict):
    """Keys are attributes, as with yacs."""

    def __getattr__(self, name):
        try:
            return self[name]
        except KeyError:
            raise AttributeError(name) from None

    def __setattr__(self, name, value):
        self[name] = value

    def merge_from_file(self, path, allow_unsafe=True):
        with open(path) as file:  # noqa: PTH123  # detectron2 takes a text, no Path
            text = file.read()
        try:
            content = yaml.safe_load(text)
        except yaml.constructor.ConstructorError:
            if not allow_unsafe:
                raise
            content = yaml.unsafe_load(text)
        _merge(self, content, "")


def _merge(into, given, prefix):
    for key, value in given.items():
        if key not in into:
            raise KeyError(f"Non-existent config key: {prefix}{key}")
        if isinstance(value, dict):
            _merge(into[key], value, f"{prefix}{key}.")
        else:
            into[key] = value


def get_cfg():
    return Node(
        MODEL=Node(DEVICE="cuda", META_ARCHITECTURE="GeneralizedRCNN"),
        INPUT=Node(MIN_SIZE_TEST=800, MAX_SIZE_TEST=1333, FORMAT="BGR"),
    )


class NoOpTransform:
    pass


class ResizeTransform:
    def __init__(self, h, w, new_h, new_w):
        self.h, self.w, self.new_h, self.new_w = h, w, new_h, new_w


class ResizeShortestEdge:
    def __init__(self, short_edge_length, max_size=sys.maxsize, sample_style="range"):
        assert sample_style == "range"
        self.low, self.high = short_edge_length
        self.max_size = max_size

    def get_transform(self, image):
        assert self.low == self.high
        if self.low == 0:
            return NoOpTransform()
        h, w = image.shape[:2]
        scale = min(self.low / min(h, w), self.max_size / max(h, w))
        return ResizeTransform(h, w, int(h * scale + 0.5), int(w * scale + 0.5))


class SemanticSegmentor(nn.Module):
    """One convolution; the input is normalised and padded to a multiple of 32 inside."""

    def __init__(self, cfg):
        super().__init__()
        self.register_buffer("pixel_mean", torch.tensor([100.0, 110, 120]).view(3, 1, 1), False)
        self.backbone = nn.Conv2d(3, CLASSES, 3, padding=1)
        self.to(cfg.MODEL.DEVICE)

    def forward(self, batched_inputs):
        return [self._one(**entry) for entry in batched_inputs]

    def _one(self, image, height, width):
        assert image.dtype == torch.float32
        h, w = image.shape[1:]
        pixels = F.pad((image - self.pixel_mean) / 60, (0, -w % 32, 0, -h % 32))
        logits = self.backbone(pixels[None])[:, :, :h, :w]
        return {"sem_seg": F.interpolate(logits, (height, width), mode="bilinear")[0]}


class PanopticOnly(SemanticSegmentor):
    def _one(self, **entry):
        return {"panoptic_seg": super()._one(**entry)["sem_seg"]}


def build_model(cfg):
    kinds = {"SemanticSegmentor": SemanticSegmentor, "PanopticOnly": PanopticOnly}
    return kinds[cfg.MODEL.META_ARCHITECTURE](cfg)


def modules():
    """Name -> module, for sys.modules."""
    found = {}
    for name, members in (
        ("detectron2", {}),
        ("detectron2.config", {"get_cfg": get_cfg}),
        ("detectron2.data", {}),
        ("detectron2.data.transforms", {"ResizeShortestEdge": ResizeShortestEdge}),
        ("detectron2.modeling", {"build_model": build_model}),
    ):
        found[name] = types.ModuleType(name)
        vars(found[name]).update(members)
    return found
