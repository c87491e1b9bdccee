"""Packed weights: the same velocity, less in the state dict, and a clear word where they cannot be."""

import pytest
import torch

from lumina_next.nextdit import ContextDrop, NextDiT, NextDiTConfig
from lumina_next.nextdit.packed import pack, packable
from lumina_next.tests.nextdit.conftest import randomise

CONFIG = NextDiTConfig(dim=288, n_layers=2, n_heads=4, n_kv_heads=1, text_dim=32)
X = torch.randn(2, 4, 34, 30, generator=torch.Generator().manual_seed(0)).bfloat16()
TEXT = torch.randn(2, 9, 32, generator=torch.Generator().manual_seed(1)).bfloat16()
T = torch.tensor([0.3, 0.3])

needs_bf16 = pytest.mark.skipif(
    not (torch.backends.mkldnn.is_available() and torch.ops.mkldnn._is_mkldnn_bf16_supported()),
    reason="needs a CPU and a torch with bfloat16 products of oneDNN",
)


def network() -> NextDiT:
    return randomise(NextDiT(CONFIG)).bfloat16()


@needs_bf16
@torch.inference_mode()
@pytest.mark.parametrize("drop", [None, ContextDrop(fade="none")])
def test_is_no_further_from_float32_than_plain_weights(drop):
    exact = network().float()(X.float(), T, TEXT.float(), drop=drop)
    plain, packed = (model(X, T, TEXT, drop=drop).float() for model in (network(), pack(network())))
    assert (packed - exact).norm() <= 1.05 * (plain - exact).norm()
    assert (packed - exact).norm() < 0.02 * exact.norm()


@needs_bf16
def test_no_weight_is_kept_twice():
    model = network()
    whole = sum(x.numel() for x in model.layers.parameters())
    products = [x for block in model.layers for x in (*block.feed_forward.parameters(), block.attention.wq.weight)]
    gone = sum(x.numel() for x in products)
    assert sum(x.numel() for x in pack(model).layers.parameters()) < whole - gone


@pytest.mark.parametrize("model", [NextDiT(CONFIG), NextDiT(CONFIG, device="meta", dtype=torch.bfloat16)])
def test_what_cannot_be_packed_is_refused(model):
    assert not packable(model)
    with pytest.raises(ValueError, match="only a network of torch.nn layers in bfloat16 on a CPU"):
        pack(model)
