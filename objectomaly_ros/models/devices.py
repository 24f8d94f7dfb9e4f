"""Where and how precisely a network runs."""

from __future__ import annotations

import ctypes
from contextlib import suppress
from os import PathLike
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, get_args

from objectomaly_ros.models.extras import naming_extra

if TYPE_CHECKING:
    import torch
    from torch import nn

Precision: TypeAlias = Literal["float32", "float16", "bfloat16"]
"""Of a network's matrix products and convolutions. With random weights, which are harder than
trained ones, bfloat16 moves scores by at most 4 % of their range on average, float16 by 2 %
(`test/detectors`). Both are faster than float32 on a GPU, and on a CPU with AVX-512 BF16 or AMX;
on other CPUs a frame takes minutes instead of seconds."""

_PRECISIONS = get_args(Precision)


def has_nvidia_driver() -> bool:
    """Tell whether the driver of NVIDIA's GPUs is installed."""
    with suppress(OSError):
        return bool(ctypes.CDLL("libcuda.so.1"))
    return False


def has_cuda() -> bool:
    """Tell whether torch can compute on a GPU; torch loads only if NVIDIA's driver is there."""
    with suppress(ModuleNotFoundError):
        if has_nvidia_driver():
            import torch

            return torch.cuda.is_available()
    return False


def chosen_device(wanted: str, checkpoint: str | PathLike[str] | None = None) -> str:
    """Return `wanted`, or for "auto" cuda if torch can use it, else cpu.

    ONNX files as `checkpoint` run on the CPU.
    """
    if wanted != "auto":
        return wanted
    onnx = checkpoint is not None and str(checkpoint).lower().endswith(".onnx")
    return "cuda" if not onnx and has_cuda() else "cpu"


def check_device(name: str) -> None:
    """Check the name of a torch device; `cpu` is right without torch.

    Raises:
        ValueError: torch does not know it, or it is not there.
        ImportError: torch is not installed.
    """
    if name == "cpu":
        return
    with naming_extra(f"device {name}"):
        device_of(name)


def device_of(name: str) -> torch.device:
    """Return the torch device; raise a ValueError if it is unknown or not there."""
    import torch

    try:
        device = torch.device(chosen_device(name))
    except RuntimeError as error:
        raise ValueError(
            f"device {name!r} is not one that torch knows; use auto, cpu, cuda or cuda:N"
        ) from error
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise ValueError(
            f"device {name!r} is not there: torch sees {torch.cuda.device_count()} GPUs; use cpu"
        )
    return device


def check_precision(precision: str) -> None:
    """Raise a ValueError unless `precision` is one of `Precision`."""
    if precision not in _PRECISIONS:
        raise ValueError(f"precision {precision!r} is not one of {', '.join(_PRECISIONS)}")


def placed(network: nn.Module, device: torch.device, *, compiled: bool = False) -> Any:
    """Return the network on its device, ready to predict; channels-last on a GPU."""
    import torch

    network = network.eval().requires_grad_(False).to(device)
    if device.type == "cuda":
        network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return torch.compile(network) if compiled else network


def autocast(device: torch.device, precision: Precision) -> torch.autocast:
    """Return a context in which operations run in `precision`; weights stay float32."""
    import torch

    check_precision(precision)
    return torch.autocast(
        device.type, dtype=getattr(torch, precision), enabled=precision != "float32"
    )
