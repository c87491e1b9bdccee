import torch

from lumina_next.nextdit.layers.attend import sdpa
from lumina_next.training.loop.attention import folded_attention


def test_folded_attention_equals_sdpa_with_grouped_keys_and_a_mask():
    q, k, v = (torch.randn(2, heads, n, 8) for heads, n in ((6, 5), (2, 7), (2, 7)))
    mask = torch.zeros(2, 1, 1, 7)
    mask[1, ..., 4:] = float("-inf")
    for chosen in (None, mask):
        assert torch.allclose(folded_attention(q, k, v, chosen), sdpa(q, k, v, chosen), atol=1e-6)
