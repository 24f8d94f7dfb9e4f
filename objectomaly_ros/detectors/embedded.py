"""The embedded detector: a small street network whose weights come with the package."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from functools import cached_property
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import cv2
import numpy as np
import numpy.typing as npt

from objectomaly_ros.arrays.checks import check_image
from objectomaly_ros.checkpoints.onnx_files import read_metadata
from objectomaly_ros.detectors.exposure import expose
from objectomaly_ros.detectors.familiarity import Familiarity
from objectomaly_ros.detectors.memory import Memory
from objectomaly_ros.detectors.memory.learning import Seen
from objectomaly_ros.detectors.memory.patches import Floats, patches
from objectomaly_ros.detectors.onnx_network import OnnxNetwork, OrtNetwork, load_onnx
from objectomaly_ros.models.extras import naming_extra
from objectomaly_ros.types import Detection, Image, ScoreMap

if TYPE_CHECKING:
    import torch

    from objectomaly_ros.detectors.embedded_torch import TorchMaps

WEIGHTS = Path(__file__).resolve().parents[1] / "weights" / "embedded.onnx"
TORCH_WEIGHTS = WEIGHTS.with_suffix(".safetensors")
FORMAT = "objectomaly_ros.embedded/2"
FEATURES = ("features8", "features16")
"""Outputs of the network beside the logits, which a memory needs."""
ROAD = 3  # of embedded_net.CLASSES
# Standard deviation, in pixels of the half-size output, of the smoothing of outlier logits:
# 1.5 was best of 0.5, 1, 1.5, 2, 3 on street_ood/dev.
SMOOTHING = 1.5
SMOOTHING_TAPS = 13
STEPS = (360, 288, 224)
"""The values of `input_size` that `step_down` goes through; docs/models.md has their accuracy."""


class EmbeddedDetector:
    """Scores anomaly in [0, 1] with an outlier-exposed segmentation network; knows the road.

    Thread-safe: the network keeps no state between calls.

    Attributes:
        threshold: score above which a pixel is an obstacle: the memory's, or without one
            `alarm_threshold`.
        alarm_threshold: the same without a memory (best F1 on the development set).
        memory: in use, None for none; see `use`.
        has_features: the weights give features, which a memory needs.
        metadata: of the checkpoint, on its training.
        input_size: see below; `step_down` lowers it.
    """

    def __init__(
        self,
        checkpoint: str | PathLike[str] | None = None,
        device: str = "cpu",
        *,
        input_size: int = 360,
        precision: Literal["float32", "float16"] = "float32",
        flip: bool = False,
        threads: int | None = None,
        memory: str | PathLike[str] | Memory | None = None,
    ) -> None:
        """Load the weights.

        Args:
            checkpoint: an .onnx file of `tools.training.export_onnx`, which runs on the CPU with
                ONNX Runtime; or a .safetensors file of `tools.training.train_embedded`, which needs
                torch. None for the packaged weights, which need neither.
            device: "cpu", or a torch device.
            input_size: images are scaled to the pixel count of a 4:3 image with this short side;
                a smaller one is faster, and misses more of the far objects.
            precision: "float16" only on CUDA.
            flip: average with the mirrored image: better scores at twice the time.
            threads: of the CPU for an .onnx file, see `onnx_network.load_onnx`.
            memory: a file of `objectomaly learn`, or a memory.

        Raises:
            FileNotFoundError: there is no such checkpoint or memory.
            ImportError: the checkpoint or device needs a package that is not installed.
            ValueError: the file is no checkpoint of this network, an option is wrong, or the memory
                was learnt with other weights.
        """
        if not isinstance(input_size, int) or input_size < 32:
            raise ValueError(f"input_size is {input_size!r}; want the short side in pixels, >= 32")
        if precision not in ("float32", "float16"):
            raise ValueError(f"precision is {precision!r}; want 'float32' or 'float16'")
        if precision == "float16" and not device.startswith("cuda"):
            raise ValueError(f"precision 'float16' needs a CUDA device, not {device!r}")
        self.input_size = self._loaded_size = input_size
        self.flip = flip
        default = WEIGHTS if device == "cpu" else TORCH_WEIGHTS
        self.checkpoint = Path(checkpoint) if checkpoint is not None else default
        if not self.checkpoint.is_file():
            raise FileNotFoundError(
                f"no checkpoint {self.checkpoint}; leave `checkpoint` out for the packaged weights,"
                " or train one with tools/training/train_embedded.py"
            )
        self._network: OnnxMaps | TorchMaps
        what = f"embedded on {device}" if checkpoint is None else self.checkpoint.name
        if self.checkpoint.suffix.lower() != ".onnx":
            with naming_extra(what):
                from objectomaly_ros.detectors.embedded_torch import TorchMaps
            self._network = TorchMaps(self.checkpoint, device, precision)
        elif device == "cpu":
            with naming_extra(what):
                load = load_onnx if self.checkpoint == WEIGHTS else OrtNetwork
                network = load(self.checkpoint, threads=threads)
            self._network = OnnxMaps(self.checkpoint, network)
        else:
            raise ValueError(
                f"{self.checkpoint} runs on the CPU, not on {device!r}: give the .safetensors file "
                "from which it was exported"
            )
        self.metadata = self._network.metadata
        self.has_features = self._network.has_features
        self._familiarity = Familiarity.from_metadata(self.metadata) if self.has_features else None
        self.alarm_threshold = float(self.metadata["threshold"])
        self.use(Memory.load(memory) if isinstance(memory, (str, PathLike)) else memory)

    @cached_property
    def identity(self) -> str:
        """Names the detector and its weights; of the packaged ones both files are the same."""
        file = WEIGHTS if self.checkpoint == TORCH_WEIGHTS else self.checkpoint
        digest = hashlib.sha256(file.read_bytes()).hexdigest()
        return f"embedded, weights {digest[:16]}"

    def use(self, memory: Memory | None) -> None:
        """Use a memory from the next image on, or none.

        Raises:
            ValueError: it was learnt with other weights.
        """
        if memory is not None:
            memory.check(self.identity)
        self.memory: Memory | None = memory
        self.threshold = self.alarm_threshold if memory is None else memory.threshold

    def score(self, image: Image) -> ScoreMap:
        """Return the anomaly score of an RGB uint8 image (H, W, 3): (H, W) float32 in [0, 1]."""
        return self.detect(image).score

    def detect(self, image: Image) -> Detection:
        """Return the anomaly score and the road of an RGB uint8 image (H, W, 3), in one pass."""
        scaled, memory = self._input(image), self.memory
        maps, strangeness = self._maps(scaled, memory)
        if self.flip:
            maps += self._maps(np.ascontiguousarray(scaled[:, ::-1]), memory)[0][..., ::-1]
            maps /= 2
        size = (image.shape[1], image.shape[0])
        score, margin = (cv2.resize(part, size, interpolation=cv2.INTER_LINEAR) for part in maps)
        return Detection(np.asarray(score, np.float32), margin > 0, strangeness)

    def look(self, image: Image) -> Seen:
        """Return what `memory.learn` needs of an image.

        Raises:
            ValueError: the weights give no features.
        """
        maps, grid = self._maps_and_patches(self._input(image))
        return Seen(maps[0], maps[1] > 0, grid, (image.shape[0], image.shape[1]))

    def score_and_features(self, image: Image) -> tuple[ScoreMap, Floats]:
        """Return the score (h, w) at the network's resolution, and the features at stride 16.

        Raises:
            ValueError: the weights give no features.
        """
        maps, _, features16 = self._maps_and_features(self._input(image))
        return maps[0], features16

    def _input(self, image: Image) -> Image:
        return expose(scale_image(image, self.input_size))

    def _maps(self, scaled: Image, memory: Memory | None) -> tuple[Floats, float | None]:
        """Return the maps, with a memory if there is one, and else how strange the image is."""
        if memory is not None:
            maps, grid = self._maps_and_patches(scaled)
            maps[0] = memory.fuse(maps[0], grid)
            return maps, None
        if self._familiarity is None:
            return self._network(scaled), None
        maps, _, features16 = self._maps_and_features(scaled)
        return maps, self._familiarity.strangeness(maps[0], self.alarm_threshold, features16)

    def _maps_and_patches(self, scaled: Image) -> tuple[Floats, Floats]:
        maps, features8, features16 = self._maps_and_features(scaled)
        return maps, patches(features8, features16)

    def _maps_and_features(self, scaled: Image) -> tuple[Floats, Floats, Floats]:
        if not self.has_features:
            raise ValueError(
                f"{self.checkpoint.name} gives no features, which a memory needs: use the packaged "
                "weights, or export yours again with tools/training/export_onnx.py"
            )
        return self._network.with_features(scaled)

    def score_tensor(self, image: Image) -> torch.Tensor:
        """Return the anomaly score as a tensor on the detector's device."""
        import torch

        if isinstance(self._network, OnnxMaps) or self.memory is not None:
            return torch.from_numpy(self.score(image))
        return self._network.score(self._input(image), image.shape, self.flip)

    def step_down(self) -> str | None:
        """Lower `input_size` to the next of `STEPS`; return "input_size 360 -> 288" or None."""
        old = self.input_size
        smaller = [step for step in STEPS if step < old]
        if not smaller:
            return None
        self.input_size = smaller[0]
        return f"input_size {old} -> {self.input_size}"

    def restore(self) -> None:
        """Set `input_size` as it was given."""
        self.input_size = self._loaded_size


class OnnxMaps:
    """Maps scaled images to scores and road margins, without torch."""

    def __init__(self, path: Path, network: OnnxNetwork) -> None:
        self.metadata = parse_metadata(read_metadata(path), path)
        self._network = network
        self.has_features = set(FEATURES) <= set(network.outputs)

    def __call__(self, scaled: Image) -> npt.NDArray[np.float32]:
        """Map (h, w, 3) to score and road margin at half the size, (2, h/2, w/2)."""
        return self._score_and_margin(self._run(scaled, ())[0][0])

    def with_features(self, scaled: Image) -> tuple[Floats, Floats, Floats]:
        """Return the same, and the encoder's features: (C, h, w) at stride 8 and at stride 16."""
        logits, features8, features16 = self._run(scaled, FEATURES)
        return self._score_and_margin(logits[0]), features8[0], features16[0]

    def _run(self, scaled: Image, further: tuple[str, ...]) -> list[Floats]:
        pixels = np.asarray(cv2.dnn.blobFromImage(scaled, 1 / 255), np.float32)
        outputs = [self._network.outputs[0], *further]
        return self._network.run(pixels, crop_sizes(scaled.shape), outputs)

    def _score_and_margin(self, logits: Floats) -> Floats:
        smooth = cv2.GaussianBlur(
            logits[-1], (SMOOTHING_TAPS,) * 2, SMOOTHING, borderType=cv2.BORDER_REPLICATE
        )
        other = np.maximum(logits[:ROAD].max(axis=0), logits[ROAD + 1 : -1].max(axis=0))
        score = 1 / (1 + np.exp(np.minimum(-smooth, 80)))  # exp(89) exceeds float32
        return np.stack([score, logits[ROAD] - other])


def scale_image(image: Image, short_side: int) -> Image:
    """Return an image at the network's size, see `input_shape`; contiguous."""
    check_image(image)
    height, width = input_shape(image.shape, short_side)
    if (height, width) == image.shape[:2]:
        return np.ascontiguousarray(image)
    mode = cv2.INTER_AREA if height < image.shape[0] else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(image, (width, height), interpolation=mode), np.uint8)


def input_shape(shape: tuple[int, ...], short_side: int) -> tuple[int, int]:
    """Return the (height, width) that an image of `shape` is scaled to, multiples of 8.

    Every image gets about the pixel count of a 4:3 image with that short side, so that all cameras
    take the same time. No side is shorter than 64: OpenCV 5.0 computes smaller ones wrong.
    """
    height, width = shape[:2]
    pixels = short_side * short_side * 4 / 3
    scale = math.sqrt(pixels / (height * width))
    height, width = (
        max(64, 8 * round(min(side * scale, pixels / 64) / 8)) for side in (height, width)
    )
    return height, width


def crop_sizes(shape: tuple[int, ...]) -> dict[str, tuple[int, int]]:
    """Return the further inputs of the ONNX graph, for an input of `shape` (height, width, ...).

    A map at stride 32 whose resolution is doubled can exceed that of the map at stride 16 by one
    row or column, and is cropped to it; likewise at stride 8. OpenCV 4.6 cannot find the size out.
    """
    height, width = shape[:2]
    return {f"size_at_stride_{s}": (-(-height // s), -(-width // s)) for s in (16, 8)}


def parse_metadata(texts: Mapping[str, str], path: Path) -> dict[str, Any]:
    """Return the metadata of a checkpoint, which are stored as JSON.

    Raises:
        ValueError: it is no checkpoint of this network, or its metadata are damaged.
    """
    if texts.get("format") != FORMAT:
        raise ValueError(f"{path} is no checkpoint of the embedded detector ({FORMAT})")
    try:
        metadata = {key: json.loads(text) for key, text in texts.items() if key != "format"}
        threshold = float(metadata.setdefault("threshold", 0.5))
        if not math.isfinite(threshold):
            raise ValueError(f"threshold is {threshold}")
    except (TypeError, ValueError, RecursionError) as error:
        raise ValueError(f"{path} has damaged metadata: {error!r}") from error
    return metadata
