"""The embedded detector: a small street network whose weights come with the package."""

from __future__ import annotations

import json
import math
import warnings
from collections.abc import Callable
from os import PathLike
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from torch import nn
from torch.nn import functional as F

from objectomaly_ros.arrays.checks import check_image
from objectomaly_ros.arrays.opencv_torch import resize_map
from objectomaly_ros.checkpoints.names import load_tensors
from objectomaly_ros.detectors.embedded_net import ROAD, EmbeddedNet, NetConfig, enlarge
from objectomaly_ros.models.devices import device_of
from objectomaly_ros.types import Detection, Image, ScoreMap

WEIGHTS = Path(__file__).resolve().parents[1] / "weights" / "embedded.safetensors"
FORMAT = "objectomaly_ros.embedded/1"
# Standard deviation, in pixels of the half-size output, of the smoothing of outlier logits:
# 1.5 was best of 0.5, 1, 1.5, 2, 3 on street_ood/dev.
SMOOTHING = 1.5


class EmbeddedDetector:
    """Scores anomaly in [0, 1] with an outlier-exposed segmentation network; knows the road.

    Thread-safe: the network keeps no state between calls.

    Attributes:
        threshold: score above which a pixel is an obstacle (best F1 on the development set).
        metadata: of the checkpoint, on its training.
    """

    def __init__(
        self,
        checkpoint: str | PathLike[str] | None = None,
        device: str = "cpu",
        *,
        input_size: int = 360,
        precision: Literal["float32", "float16"] = "float32",
        flip: bool = False,
        fuse: bool = True,
    ) -> None:
        """Load the weights.

        Args:
            checkpoint: a safetensors file of `tools.training`; None for the packaged weights.
            device: torch device.
            input_size: images are scaled to the pixel count of a 4:3 image with this short side;
                a smaller one is faster, and misses more of the far objects.
            precision: "float16" only on CUDA.
            flip: average with the mirrored image: better scores at twice the time.
            fuse: fold the batch normalisations into the convolutions and, on a CPU, freeze the
                network: faster, and equal up to rounding.

        Raises:
            FileNotFoundError: there is no such checkpoint.
            ValueError: the file is no checkpoint of this network, or an option is wrong.
        """
        if not isinstance(input_size, int) or input_size < 32:
            raise ValueError(f"input_size is {input_size!r}; want the short side in pixels, >= 32")
        if precision not in ("float32", "float16"):
            raise ValueError(f"precision is {precision!r}; want 'float32' or 'float16'")
        self.device = device_of(device)
        if precision == "float16" and self.device.type != "cuda":
            raise ValueError(f"precision 'float16' needs a CUDA device, not {device!r}")
        self.input_size = input_size
        self.flip = flip
        self.checkpoint = Path(checkpoint) if checkpoint is not None else WEIGHTS
        self.net, self.metadata = load_network(self.checkpoint)
        if fuse:
            self.net.fuse()
        if self.device.type == "cpu":
            # glibc returns blocks of over 128 kB to the kernel, and every forward pass pays for
            # their pages again (a fifth of its time), until a larger one has been freed once.
            torch.empty(31 << 20, dtype=torch.uint8)
        self.dtype = torch.float16 if precision == "float16" else torch.float32
        self.net.to(self.device, self.dtype)
        self.net.to(memory_format=torch.channels_last)
        self.threshold = float(self.metadata["threshold"])
        self._maps: Callable[[torch.Tensor], torch.Tensor]
        self._maps = _Maps(self.net).eval().requires_grad_(False)
        if fuse and self.device.type == "cpu":
            self._maps = freeze(self._maps, (1, 3, input_size, input_size * 4 // 3))

    def score(self, image: Image) -> ScoreMap:
        """Return the anomaly score of an RGB uint8 image (H, W, 3): (H, W) float32 in [0, 1]."""
        return self.detect(image).score

    @torch.inference_mode()
    def detect(self, image: Image) -> Detection:
        """Return the anomaly score and the road of an RGB uint8 image (H, W, 3), in one pass."""
        score, margin = self._score_and_margin(image).cpu().numpy()
        if score.shape != image.shape[:2]:
            size = (image.shape[1], image.shape[0])
            score = cv2.resize(score, size, interpolation=cv2.INTER_LINEAR)
            margin = cv2.resize(margin, size, interpolation=cv2.INTER_LINEAR)
        return Detection(score=score, road=margin > 0)

    @torch.inference_mode()
    def score_tensor(self, image: Image) -> torch.Tensor:
        """Return the anomaly score as a tensor on the detector's device."""
        score = self._score_and_margin(image)[0]
        return resize_map(score, (image.shape[0], image.shape[1]), cv2.INTER_LINEAR)

    def _score_and_margin(self, image: Image) -> torch.Tensor:
        """Return anomaly score and road margin at the network's size, (2, h, w) float32."""
        check_image(image)
        shape = image.shape[:2]
        height, width = network_size(shape, self.input_size)
        if (height, width) != shape:
            mode = cv2.INTER_AREA if height < shape[0] else cv2.INTER_LINEAR
            image = cv2.resize(image, (width, height), interpolation=mode)  # type: ignore[assignment]
        # Images out of messages and bags may be read-only, which torch warns of.
        image = np.require(image, requirements=["C", "W"])
        pixels = torch.from_numpy(image).to(self.device)[None]
        x = pixels.permute(0, 3, 1, 2).to(self.dtype) / 255
        maps = self._maps(x)
        if self.flip:
            maps = (maps + self._maps(x.flip(-1)).flip(-1)) / 2
        return maps[0]


class _Maps(nn.Module):
    """From network inputs (B, 3, H, W) to scores and road margins (B, 2, H, W)."""

    def __init__(self, net: EmbeddedNet) -> None:
        super().__init__()
        self.net = net

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return enlarge(score_and_road(self.net(x).float()), x)


def freeze(
    module: nn.Module, shape: tuple[int, int, int, int]
) -> Callable[[torch.Tensor], torch.Tensor]:
    """Compile `module`: the same sums, a fifth less time on a CPU.

    The result takes inputs of any size; `shape` is that of the example that it is traced with.
    """
    with warnings.catch_warnings(), torch.inference_mode(False), torch.no_grad():
        warnings.simplefilter("ignore")  # torch recommends torch.compile, which needs a gcc
        example = torch.rand(shape).contiguous(memory_format=torch.channels_last)
        traced = torch.jit.trace(module, example, check_trace=False)  # type: ignore[no-untyped-call]
        frozen = torch.jit.freeze(traced)
        for _ in range(2):  # the first runs optimise the graph
            frozen(example)
    result: Callable[[torch.Tensor], torch.Tensor] = frozen
    return result


def score_and_road(logits: torch.Tensor) -> torch.Tensor:
    """Turn logits (B, 12, h, w) into anomaly scores in [0, 1] and road margins: (B, 2, h, w).

    The margin is the road's logit minus the best other class's: positive on road. The outlier
    logits are smoothed first (Gaussian), which removes holes in objects and isolated pixels.
    """
    classes = logits[:, :-1]
    other = torch.cat([classes[:, :ROAD], classes[:, ROAD + 1 :]], dim=1).amax(1, keepdim=True)
    taps = torch.exp(-(torch.arange(-6, 7, device=logits.device) ** 2) / (2 * SMOOTHING**2))
    kernel = (taps / taps.sum()).view(1, 1, 1, -1)
    smooth = F.conv2d(F.pad(logits[:, -1:], (6, 6, 6, 6), mode="replicate"), kernel)
    smooth = F.conv2d(smooth, kernel.transpose(2, 3))
    return torch.cat([torch.sigmoid(smooth), classes[:, ROAD : ROAD + 1] - other], dim=1)


def network_size(shape: tuple[int, ...], short_side: int) -> tuple[int, int]:
    """Return the (height, width) that an image of `shape` is scaled to.

    Every image gets the pixel count of a 4:3 image with that short side, so that all cameras take
    the same time.
    """
    height, width = shape[:2]
    scale = (short_side * short_side * 4 / 3 / (height * width)) ** 0.5
    return max(8, round(height * scale)), max(8, round(width * scale))


def load_network(path: Path) -> tuple[EmbeddedNet, dict[str, Any]]:
    """Load a network, in evaluation mode, and the metadata of its checkpoint.

    Raises:
        FileNotFoundError: there is no file `path`.
        ValueError: it is damaged or of another network; the message names the tensors.
    """
    if not path.is_file():
        raise FileNotFoundError(
            f"no checkpoint {path}; leave `checkpoint` out for the packaged weights, or train "
            "one with tools/training/train_embedded.py"
        )
    try:
        with safe_open(path, framework="pt") as file:
            texts = file.metadata() or {}
            tensors = {name: file.get_tensor(name).float() for name in file.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise ValueError(f"{path} is no safetensors file: {error}") from error
    if texts.pop("format", None) != FORMAT:
        raise ValueError(f"{path} is no checkpoint of the embedded detector ({FORMAT})")
    try:
        metadata: dict[str, Any] = {key: json.loads(value) for key, value in texts.items()}
        net = EmbeddedNet(NetConfig.from_dict(metadata["config"]))
        threshold = float(metadata.setdefault("threshold", 0.5))
        if not math.isfinite(threshold):
            raise ValueError(f"threshold is {threshold}")
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise ValueError(f"{path} has damaged metadata: {error!r}") from error
    load_tensors(net, tensors, str(path))
    return net.eval(), metadata
