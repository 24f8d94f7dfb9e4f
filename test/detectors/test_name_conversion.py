"""Our network has exactly the tensors of the official files, under the names that belong."""

import json

import torch

from objectomaly_ros.detectors.architectures import (
    MASK2ANOMALY,
    RBA_SWIN_B,
    RBA_SWIN_L,
    SWIN_L,
    UNO,
)
from objectomaly_ros.detectors.mask2former import Mask2FormerNetwork
from objectomaly_ros.detectors.name_conversion import official_name


def official(shared_dir, file):
    content = json.loads((shared_dir / "golden" / file).read_text())
    return {name: t["shape"] for name, t in content["tensors"].items()}


def ours(architecture):
    """Official name -> (shape, our names in the order of their parts)."""
    with torch.device("meta"):
        network = Mask2FormerNetwork(architecture)
    found = {}
    for name, tensor in network.state_dict().items():
        official, part = official_name(name)
        shape = list(tensor.shape)
        if part is not None:
            shape[0] *= 3
        names = found.setdefault(official, (shape, {}))[1]
        names[part or 0] = name.removeprefix("segmenter.")
    return {
        name: (shape, [names[i] for i in sorted(names)]) for name, (shape, names) in found.items()
    }


def test_names_and_shapes_are_the_official_ones(shared_dir):
    for architecture, file in (
        (MASK2ANOMALY, "mask2anomaly/state_dict.json"),
        (RBA_SWIN_B, "rba/state_dict.json"),
        (RBA_SWIN_L, "rba/state_dict_swin_l.json"),
        (UNO, "uno/state_dict.json"),
        (SWIN_L, "maskomaly/state_dict.json"),
    ):
        wanted = {
            name: shape
            for name, shape in official(shared_dir, file).items()
            if "relative_position_index" not in name
            and "fusion_layer" not in name
            and name != "criterion.empty_weight"
        }
        found = {n: shape for n, (shape, _) in ours(architecture).items() if "swin.layer" not in n}
        assert found == wanted, file


def test_names_are_those_of_the_reference_map(shared_dir):
    for architecture, folder in ((RBA_SWIN_B, "rba"), (UNO, "uno")):
        path = shared_dir / "golden" / folder / "transformers_name_map.json"
        wanted = json.loads(path.read_text())["map"]
        found = ours(architecture)
        assert {name: found[name][1] for name in wanted} == wanted


def test_some_names_without_the_reference():
    for name, translated in (
        (
            "segmenter.model.transformer_module.decoder.layers.3.self_attn.k_proj.weight",
            (
                "sem_seg_head.predictor.transformer_self_attention_layers.3.self_attn.in_proj_weight",
                1,
            ),
        ),
        (
            "segmenter.model.pixel_level_module.encoder.encoder.stages.0.layers.1.layer.2."
            "normalization.running_var",
            ("backbone.res2.1.conv3.norm.running_var", None),
        ),
        (
            "segmenter.model.pixel_level_module.encoder.hidden_states_norms.stage4.bias",
            ("backbone.norm3.bias", None),
        ),
    ):
        assert official_name(name) == translated
