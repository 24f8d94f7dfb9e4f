"""SAM's mask decoder for many points of one image, which does the image's part once.

It runs the package's own modules in the package's order, only less often. The architecture is in
Kirillov et al., arXiv 2304.02643, appendix A.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch

_MULTIMASK = slice(1, None)  # mask token 0 is for unambiguous prompts, which a point is not


@dataclass(frozen=True)
class ImageTokens:
    """The part of decoding that depends on the image alone; batch size 1.

    Attributes:
        keys: (1, h w, C) image embedding with the dense prompt "no mask".
        position: (1, h w, C) positional encoding.
        k, v: (1, h w, C') keys and values of the first layer, to which prompt tokens attend.
        q: (1, h w, C') queries of the first layer, by which the image attends to prompt tokens.
        size: h, w.
    """

    keys: torch.Tensor
    position: torch.Tensor
    k: torch.Tensor
    v: torch.Tensor
    q: torch.Tensor
    size: tuple[int, int]


@dataclass(frozen=True)
class Decoded:
    """The masks of a batch of points whose predicted IoU is high enough.

    Attributes:
        logits: (M, 4 h, 4 w), low resolution.
        predicted_iou: (M,).
        prompt: (M,) int64 ascending, the point of each mask; up to three masks a point.
    """

    logits: torch.Tensor
    predicted_iou: torch.Tensor
    prompt: torch.Tensor


class PointDecoder:
    """Decodes single foreground points with a SAM's prompt encoder and mask decoder."""

    def __init__(self, prompt_encoder: Any, mask_decoder: Any) -> None:
        """Take the modules `PromptEncoder` and `MaskDecoder` of `segment_anything.modeling`."""
        self._prompts = prompt_encoder
        self._decoder = mask_decoder
        self._transformer = mask_decoder.transformer

    def prepare(self, features: torch.Tensor) -> ImageTokens:
        """Return the image's part for (1, C, h, w) features of the image encoder."""
        dense = self._prompts.no_mask_embed.weight.reshape(1, -1, 1, 1)
        keys = (features + dense).flatten(2).permute(0, 2, 1)
        with _full_precision(features):
            position = self._prompts.get_dense_pe().flatten(2).permute(0, 2, 1)
        k, v, q = _image_projections(self._transformer.layers[0], keys, position)
        return ImageTokens(keys, position, k, v, q, (features.shape[2], features.shape[3]))

    def decode(self, image: ImageTokens, points: torch.Tensor, min_predicted_iou: float) -> Decoded:
        """Decode points, and upscale only the masks that are predicted to be good.

        The host waits for the device twice, for the numbers of these masks and of their points.

        Args:
            image: from `prepare`.
            points: (B, 2) x, y in pixels of the network's input.
            min_predicted_iou: masks at or below it are left out; 0 or less keeps all.
        """
        tokens, keys = self._attend(image, self._tokens(points))
        quality = self._decoder.iou_prediction_head(tokens[:, 0])[:, _MULTIMASK]
        good = quality > min_predicted_iou
        if min_predicted_iou <= 0:
            good = torch.ones_like(good)
        prompt, which = good.nonzero(as_tuple=True)
        upscaled, row = torch.unique_consecutive(prompt, return_inverse=True)
        logits = self._masks(tokens[upscaled], keys[upscaled], image.size)
        return Decoded(logits[row, which], quality[prompt, which], prompt)

    def _tokens(self, points: torch.Tensor) -> torch.Tensor:
        """Return (B, 1 + 4 + 2, C): the quality token, mask tokens, the point and its padding."""
        labels = torch.ones((len(points), 1), dtype=torch.int, device=points.device)
        with _full_precision(points):
            sparse, _ = self._prompts(points=(points[:, None], labels), boxes=None, masks=None)
        own = torch.cat([self._decoder.iou_token.weight, self._decoder.mask_tokens.weight])
        return torch.cat([own.expand(len(points), -1, -1), sparse], dim=1)

    def _attend(
        self, image: ImageTokens, prompts: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Run the two-way transformer; return tokens (B, T, C) and image (B, h w, C)."""
        queries, keys = prompts, image.keys
        k, v, q = image.k, image.v, image.q
        for number, layer in enumerate(self._transformer.layers):
            if number > 0:
                k, v, q = _image_projections(layer, keys, image.position)
            if layer.skip_first_layer_pe:
                queries = layer.self_attn(q=queries, k=queries, v=queries)
            else:
                placed = queries + prompts
                queries = queries + layer.self_attn(q=placed, k=placed, v=queries)
            queries = layer.norm1(queries)
            queries = layer.norm2(
                queries + _to_image(layer.cross_attn_token_to_image, queries + prompts, k, v)
            )
            queries = layer.norm3(queries + layer.mlp(queries))
            keys = layer.norm4(
                keys + _to_tokens(layer.cross_attn_image_to_token, q, queries + prompts, queries)
            )
        final = self._transformer.final_attn_token_to_image
        k, v = final.k_proj(keys + image.position), final.v_proj(keys)
        queries = queries + _to_image(final, queries + prompts, k, v)
        return self._transformer.norm_final_attn(queries), keys

    def _masks(
        self, tokens: torch.Tensor, keys: torch.Tensor, size: tuple[int, int]
    ) -> torch.Tensor:
        """Return the logits of three mask tokens on the upscaled image, (B, 3, 4 h, 4 w)."""
        image = keys.transpose(1, 2).reshape(len(keys), keys.shape[2], *size)
        upscaled = self._decoder.output_upscaling(image)
        mask_tokens = tokens[:, 1 : 1 + self._decoder.num_mask_tokens][:, _MULTIMASK]
        networks = list(self._decoder.output_hypernetworks_mlps)[_MULTIMASK]
        weights = torch.stack(
            [network(mask_tokens[:, i]) for i, network in enumerate(networks)], dim=1
        )
        logits: torch.Tensor = weights @ upscaled.flatten(2)
        return logits.reshape(*logits.shape[:2], *upscaled.shape[2:])


def _full_precision(tensor: torch.Tensor) -> torch.autocast:
    """Keep positions exact under autocast: they enter sines as arguments of many periods."""
    return torch.autocast(tensor.device.type, enabled=False)


def _image_projections(
    layer: Any, keys: torch.Tensor, position: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return the image's keys and values for tokens, and its queries to tokens."""
    placed = keys + position
    to_image, to_tokens = layer.cross_attn_token_to_image, layer.cross_attn_image_to_token
    return to_image.k_proj(placed), to_image.v_proj(keys), to_tokens.q_proj(placed)


def _to_image(
    attention: Any, tokens: torch.Tensor, k: torch.Tensor, v: torch.Tensor
) -> torch.Tensor:
    """Let tokens (B, T, C) attend to image keys and values (1 or B, h w, C'), projected."""
    q = attention.q_proj(tokens)
    if len(k) == 1:  # queries are independent: as one long batch, they need no copies of k and v
        q = q.flatten(0, 1)[None]
    out = _attention(q, k, v, attention.num_heads)
    projected: torch.Tensor = attention.out_proj(out)
    return projected.reshape(tokens.shape)


def _to_tokens(
    attention: Any, q: torch.Tensor, tokens: torch.Tensor, values: torch.Tensor
) -> torch.Tensor:
    """Let the image's projected queries (1 or B, h w, C') attend to tokens (B, T, C)."""
    out = _attention(q, attention.k_proj(tokens), attention.v_proj(values), attention.num_heads)
    projected: torch.Tensor = attention.out_proj(out)
    return projected


def _attention(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, heads: int) -> torch.Tensor:
    q, k, v = (x.reshape(*x.shape[:2], heads, -1).transpose(1, 2) for x in (q, k, v))
    weights = torch.softmax(q @ k.transpose(2, 3) / math.sqrt(q.shape[3]), dim=-1)
    return (weights @ v).transpose(1, 2).flatten(2)
