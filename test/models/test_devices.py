"""Devices and precisions: what is not there or unknown is said, the rest is applied."""

import pytest
import torch
from torch import nn

from objectomaly_ros.models import devices
from objectomaly_ros.models.devices import (
    autocast,
    check_precision,
    chosen_device,
    device_of,
    placed,
)


def test_devices(monkeypatch):
    assert device_of("cpu") == torch.device("cpu")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    assert device_of("cuda") == torch.device("cuda")
    assert device_of("cuda:0") == torch.device("cuda", 0)
    with pytest.raises(ValueError, match="'cuda:1' is not there: torch sees 1 GPUs; use cpu"):
        device_of("cuda:1")
    with pytest.raises(ValueError, match="'gpu' is not one that torch knows; use auto, cpu, cuda"):
        device_of("gpu")


@pytest.mark.parametrize("there", [False, True])
def test_auto_is_the_gpu_where_the_model_can_use_it(monkeypatch, there):
    monkeypatch.setattr(devices, "has_cuda", lambda: there)
    best = "cuda" if there else "cpu"
    assert chosen_device("auto") == chosen_device("auto", "weights.safetensors") == best
    assert chosen_device("auto", "weights.ONNX") == "cpu"
    assert chosen_device("cuda:1") == "cuda:1"
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    assert device_of("auto") == torch.device(best)


def test_precisions():
    layer, values = nn.Linear(3, 2), torch.ones(1, 3)
    for precision, dtype in (("float32", torch.float32), ("bfloat16", torch.bfloat16)):
        with autocast(torch.device("cpu"), precision):
            assert layer(values).dtype == dtype
    assert layer.weight.dtype == torch.float32
    for refuse in (check_precision, lambda name: autocast(torch.device("cpu"), name)):
        with pytest.raises(ValueError, match="'int8' is not one of float32, float16, bfloat16"):
            refuse("int8")


def test_a_placed_network_only_predicts(monkeypatch):
    network = nn.Sequential(nn.Linear(3, 2), nn.Dropout())
    assert placed(network, torch.device("cpu")) is network
    assert not network.training
    assert not any(parameter.requires_grad for parameter in network.parameters())
    monkeypatch.setattr(torch, "compile", lambda module: ("compiled", module))
    assert placed(network, torch.device("cpu"), compiled=True) == ("compiled", network)
