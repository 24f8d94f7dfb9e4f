"""Global mask attention against a plain double loop over heads and queries."""

import torch

from objectomaly_ros.detectors.global_mask_attention import GlobalMaskAttention

WIDTH, HEADS, QUERIES, PLACES = 8, 2, 5, 7


def plain(attention, query, key, value, hidden):
    """Scaled dot-product attention of one image, written out."""
    w_q, w_k, w_v = attention.in_proj_weight.chunk(3)
    b_q, b_k, b_v = attention.in_proj_bias.chunk(3)
    q, k, v = query @ w_q.T + b_q, key @ w_k.T + b_k, value @ w_v.T + b_v
    size = WIDTH // HEADS
    out = torch.zeros(QUERIES, WIDTH)
    for head in range(HEADS):
        part = slice(head * size, (head + 1) * size)
        for i in range(QUERIES):
            weights = (k[:, part] @ q[i, part] / size**0.5).masked_fill(hidden[i], -torch.inf)
            out[i, part] = weights.softmax(0) @ v[:, part]
    return out @ attention.out_proj.weight.T + attention.out_proj.bias


def test_foreground_and_background_are_added():
    torch.manual_seed(1)
    attention = GlobalMaskAttention(WIDTH, HEADS).eval()
    query = torch.randn(QUERIES, 1, WIDTH)
    key, value = torch.randn(2, PLACES, 1, WIDTH)
    hidden = torch.rand(QUERIES, PLACES) < 0.5
    hidden[0] = False  # all foreground, so the background is empty: it looks everywhere
    hidden[1, 0], hidden[1, 1] = True, False
    mask = hidden[None].repeat(HEADS, 1, 1)
    with torch.inference_mode():
        found, weights = attention(query, key, value, attn_mask=mask)
        behind = ~hidden
        behind[0] = False
        expected = plain(attention.foreground, query[:, 0], key[:, 0], value[:, 0], hidden)
        expected += plain(attention.background, query[:, 0], key[:, 0], value[:, 0], behind)
    assert weights is None
    assert torch.isfinite(found).all()
    torch.testing.assert_close(found[:, 0], expected, atol=1e-5, rtol=1e-5)
    assert torch.equal(mask[0], hidden)  # the caller's mask is left alone
