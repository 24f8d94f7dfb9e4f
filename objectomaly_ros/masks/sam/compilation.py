"""Compiling SAM's image encoder: faster, with other rounding."""

from __future__ import annotations

from typing import Literal, TypeAlias

from torch import nn

Compiled: TypeAlias = bool | Literal["reduce-overhead"]


def compile_encoder(encoder: nn.Module, compiled: Compiled) -> None:
    """Run an image encoder through `torch.compile` from now on.

    Args:
        encoder: of one image at a time, always of the same size, as SAM's are.
        compiled: True, or "reduce-overhead" to also record its kernels as CUDA graphs and replay
            them. That saves the launching of some thousand kernels, which is worth something where
            the GPU would wait for it: a small encoder or a slow processor, hardly ViT-H. It costs
            GPU memory of its own that the rest of the program cannot use, the first images take
            longer still, and the generator must be called from one thread only, as the node does.
            Without a GPU it is the same as True. Not yet tried on a GPU.

    Raises:
        ValueError: another value.
    """
    if compiled not in (True, "reduce-overhead"):
        raise ValueError(f"compiled must be true, false or 'reduce-overhead', got {compiled!r}")
    encoder.compile(mode=None if compiled is True else compiled)  # type: ignore[no-untyped-call]
