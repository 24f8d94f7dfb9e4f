"""The embedded detector's network run by torch: on CUDA, and for checkpoints of the training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import torch
from safetensors import SafetensorError, safe_open
from torch.nn import functional as F

from objectomaly_ros.arrays.opencv_torch import resize_map
from objectomaly_ros.checkpoints.names import load_tensors
from objectomaly_ros.detectors.embedded import (
    ROAD,
    SMOOTHING,
    SMOOTHING_TAPS,
    parse_metadata,
)
from objectomaly_ros.detectors.embedded_net import EmbeddedNet, NetConfig
from objectomaly_ros.detectors.memory.patches import Floats
from objectomaly_ros.models.devices import device_of
from objectomaly_ros.types import Image


class TorchMaps:
    """Maps scaled images to scores and road margins, like `embedded.OnnxMaps`."""

    def __init__(self, path: Path, device: str, precision: str) -> None:
        self.device = device_of(device)
        net, self.metadata = load_network(path)
        self._dtype = torch.float16 if precision == "float16" else torch.float32
        self._net = net.fuse().requires_grad_(False).to(self.device, self._dtype)
        self._net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.has_features = hasattr(net, "forward_with_features")

    @torch.inference_mode()
    def __call__(self, scaled: Image) -> npt.NDArray[np.float32]:
        """Map (h, w, 3) to score and road margin at half the size, (2, h/2, w/2)."""
        maps: npt.NDArray[np.float32] = self._maps(self._input(scaled)).cpu().numpy()
        return maps

    @torch.inference_mode()
    def with_features(self, scaled: Image) -> tuple[Floats, Floats, Floats]:
        """Return the same, and the encoder's features: (C, h, w) at stride 8 and at stride 16."""
        forward: Any = self._net.forward_with_features
        logits, *features = forward(self._input(scaled))
        maps = score_and_road(logits.float())
        fine, coarse = (part[0].float().cpu().numpy() for part in features)
        return maps[0].cpu().numpy(), fine, coarse

    @torch.inference_mode()
    def score(self, scaled: Image, shape: tuple[int, ...], flip: bool) -> torch.Tensor:
        """Return the score at the size `shape`, (H, W) float32 on the device."""
        x = self._input(scaled)
        score = self._maps(x)[0]
        if flip:
            score = (score + self._maps(x.flip(-1))[0].flip(-1)) / 2
        return resize_map(score, (shape[0], shape[1]), cv2.INTER_LINEAR)

    def _input(self, scaled: Image) -> torch.Tensor:
        # Images out of messages and bags may be read-only, which torch warns of.
        pixels = torch.from_numpy(np.require(scaled, requirements=["C", "W"])).to(self.device)
        return pixels[None].permute(0, 3, 1, 2).to(self._dtype) / 255

    def _maps(self, x: torch.Tensor) -> torch.Tensor:
        return score_and_road(self._net(x).float())[0]


def score_and_road(logits: torch.Tensor) -> torch.Tensor:
    """Turn logits (B, 12, h, w) into anomaly scores in [0, 1] and road margins: (B, 2, h, w).

    The margin is the road's logit minus the best other class's: positive on road. The outlier
    logits are smoothed first (Gaussian), which removes holes in objects and isolated pixels.
    """
    classes = logits[:, :-1]
    other = torch.cat([classes[:, :ROAD], classes[:, ROAD + 1 :]], dim=1).amax(1, keepdim=True)
    reach = SMOOTHING_TAPS // 2
    offsets = torch.arange(-reach, reach + 1, device=logits.device)
    taps = torch.exp(-(offsets**2) / (2 * SMOOTHING**2))
    kernel = (taps / taps.sum()).view(1, 1, 1, -1)
    smooth = F.conv2d(F.pad(logits[:, -1:], (reach,) * 4, mode="replicate"), kernel)
    smooth = F.conv2d(smooth, kernel.transpose(2, 3))
    return torch.cat([torch.sigmoid(smooth), classes[:, ROAD : ROAD + 1] - other], dim=1)


def load_network(path: Path) -> tuple[EmbeddedNet, dict[str, Any]]:
    """Load a network, in evaluation mode, and the metadata of its checkpoint, a .safetensors file.

    Raises:
        ValueError: it is damaged or of another network; the message names the tensors.
    """
    try:
        with safe_open(path, framework="pt") as file:
            texts = file.metadata() or {}
            tensors = {name: file.get_tensor(name).float() for name in file.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise ValueError(f"{path} is no safetensors file: {error}") from error
    metadata = parse_metadata(texts, path)
    try:
        net = EmbeddedNet(NetConfig.from_dict(metadata["config"]))
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path} has damaged metadata: {error!r}") from error
    load_tensors(net, tensors, str(path))
    return net.eval(), metadata
