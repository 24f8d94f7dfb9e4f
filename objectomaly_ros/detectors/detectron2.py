"""Any detectron2 model with a semantic output; needs detectron2.

Written from detectron2's documentation and tested on a stand-in, since detectron2 itself cannot be
installed on the development machines.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import torch

from objectomaly_ros.arrays.checks import check_image
from objectomaly_ros.checkpoints.errors import CheckpointError
from objectomaly_ros.checkpoints.names import by_their_ends, canonical_name, load_tensors
from objectomaly_ros.checkpoints.reading import Content, read_content
from objectomaly_ros.detectors import pixel_rules
from objectomaly_ros.detectors.preprocessing import resize
from objectomaly_ros.files.reading import regular_file
from objectomaly_ros.models.devices import device_of
from objectomaly_ros.types import Detection, Image, ScoreMap


class Detectron2Detector:
    """Scores images by the `sem_seg` output of a detectron2 model.

    Args:
        checkpoint: its weights, .pth or .pkl; `checkpoints.reading` reads them, without code.
        device: torch device.
        config: its configuration, a .yaml file.
        extend: functions, as `module:function` separated by commas, that add a project's keys to
            the configuration: `mask2former:add_maskformer2_config`.
        rule: see `pixel_rules`; `max_logit` also suits an output that is no logits but a sum of
            masks (Mask2Former).
        road: the index of the drivable class, or None if there is none.

    Raises:
        ImportError: detectron2, or a module of `extend`, does not import.
        CheckpointError: the weights cannot be read or do not fit.
    """

    def __init__(
        self,
        checkpoint: str | Path | None = None,
        device: str = "cpu",
        *,
        config: str | Path,
        extend: str = "",
        rule: str = "max_logit",
        road: int | None = 0,
    ) -> None:
        try:
            from detectron2.config import get_cfg
            from detectron2.data.transforms import ResizeShortestEdge
            from detectron2.modeling import build_model
        except ImportError as error:
            raise ImportError(
                f"detectron2 does not import ({error}). It is not on PyPI; after torch, run "
                "pip install 'git+https://github.com/facebookresearch/detectron2.git' "
                "--no-build-isolation. mask2anomaly, rba, uno, eam and maskomaly run here without "
                "it."
            ) from error
        if checkpoint is None:
            raise CheckpointError("detectron2 needs the model's weights as its checkpoint")
        self._rule = pixel_rules.find_rule(rule)
        settings = get_cfg()
        for target in filter(None, extend.split(",")):
            module, _, function = target.strip().partition(":")
            getattr(import_module(module), function)(settings)
        settings.merge_from_file(str(regular_file(config)), allow_unsafe=False)  # YAML, no code
        settings.MODEL.DEVICE = str(device_of(device))
        self._model = build_model(settings).eval()
        self._load(read_content(checkpoint), str(checkpoint))
        test = settings.INPUT
        self._resizing = ResizeShortestEdge(
            [test.MIN_SIZE_TEST, test.MIN_SIZE_TEST], test.MAX_SIZE_TEST
        )
        self._bgr = test.FORMAT == "BGR"
        self._road = road

    def score(self, image: Image) -> ScoreMap:
        """Return the anomaly score of an RGB image, (H, W) float32; its range is the rule's."""
        scores: ScoreMap = self.score_tensor(image).cpu().numpy()
        return scores

    def score_tensor(self, image: Image) -> torch.Tensor:
        """Return the anomaly score as a tensor on the detector's device."""
        return self._rule(self._maps(image))

    def detect(self, image: Image) -> Detection:
        """Return the score, and as road all pixels whose strongest class is `road`."""
        maps = self._maps(image)
        road = None if self._road is None else (maps.argmax(0) == self._road).cpu().numpy()
        return Detection(self._rule(maps).cpu().numpy(), road)

    @torch.inference_mode()
    def _maps(self, image: Image) -> torch.Tensor:
        """Return the model's semantic output, (K, H, W) float32."""
        check_image(image)
        height, width = image.shape[:2]
        transform = self._resizing.get_transform(image)
        # With MIN_SIZE_TEST 0, the transform has no sizes and leaves the image as it is.
        sized = hasattr(transform, "new_h")
        small = resize(image, (transform.new_h, transform.new_w)) if sized else image
        pixels = np.ascontiguousarray(small[:, :, ::-1] if self._bgr else small)
        entry = {
            "image": torch.from_numpy(pixels.astype(np.float32).transpose(2, 0, 1)),
            "height": height,
            "width": width,
        }
        output: dict[str, Any] = self._model([entry])[0]
        if "sem_seg" not in output:
            raise ValueError(f"the model returns {', '.join(output)}, but no sem_seg")
        maps: torch.Tensor = output["sem_seg"].float()
        return maps

    def _load(self, content: Content, source: str) -> None:
        expected = self._model.state_dict()
        named = {
            name if name in expected else canonical_name(name): tensor
            for name, tensor in content.tensors.items()
        }
        if content.match_ends:
            named = by_their_ends(named, expected, source)
        load_tensors(self._model, named, source, ignored=("",))
