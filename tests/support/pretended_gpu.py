"""A graphics card that is only pretended: fake tensors on it, and the attention that PyTorch would choose there.

The rules are those of PyTorch 2.11 (aten/native/transformers/cuda/sdp_utils.cpp), compared with its own answers
(torch.backends.cuda.can_use_…_attention) for compute capabilities 7.5, 8.6 and 9.0, the three dtypes, heads 8 to 264
numbers wide, grouped and expanded keys, with and without a mask.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

from lumina_next.nextdit.layers import attend as attention

HALF = (torch.float16, torch.bfloat16)


class Card:
    """A card of a compute capability; `chosen` are the kernels that calls of attention got, `keys` their K/V heads."""

    def __init__(self, capability: tuple[int, int]):
        self.capability, self.chosen, self.keys = capability, [], []

    def flash(self, q: Tensor, k: Tensor, mask: Tensor | None) -> bool:
        return self.capability >= (8, 0) and q.dtype in HALF and mask is None and q.shape[-1] <= 256

    def cudnn(self, q: Tensor, k: Tensor, mask: Tensor | None) -> bool:
        widest = 256 if self.capability >= (9, 0) else 128
        fits = q.shape[-1] % 8 == 0 and q.shape[-1] <= widest
        return self.capability >= (8, 0) and q.dtype in HALF and fits

    def efficient(self, q: Tensor, k: Tensor, mask: Tensor | None) -> bool:
        known = q.dtype != torch.bfloat16 or self.capability >= (8, 0)
        return q.shape[1] == k.shape[1] and known and q.shape[-1] % (8 if q.dtype in HALF else 4) == 0

    def attend(self, q, k, v, attn_mask=None, dropout_p=0.0, is_causal=False, scale=None, enable_gqa=False) -> Tensor:
        """Do scaled_dot_product_attention: only math attention makes tensors of its own."""
        assert q.is_cuda and (enable_gqa or q.shape[1] == k.shape[1])
        order = ("flash", "efficient", "cudnn")  # PyTorch's; ComfyUI asks for cuDNN before efficient attention
        kernel = next((name for name in order if getattr(self, name)(q, k, attn_mask)), "math")
        self.chosen.append(kernel)
        self.keys.append(k.shape[1])
        return torch.empty_like(q) if kernel != "math" else self.math(q, k, v, attn_mask)

    def math(self, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
        k, v = (x.repeat_interleave(q.shape[1] // k.shape[1], dim=1) for x in (k, v))
        scores = (q * 1.0) @ (k * 1.0).transpose(-1, -2)
        scores = scores if mask is None else scores.add_(mask)
        return scores.softmax(-1) @ v


@contextmanager
def pretended(capability: tuple[int, int]) -> Iterator[Card]:
    """Make fake tensors inside, and PyTorch believe in a card of this compute capability."""
    card = Card(capability)

    def ask(kernel):
        return lambda asked, debug=False: getattr(card, kernel)(asked.query, asked.key, asked.attn_mask)

    with pytest.MonkeyPatch.context() as patch, forgotten():
        for kernel in ("flash", "cudnn", "efficient"):
            patch.setattr(torch.backends.cuda, f"can_use_{kernel}_attention", ask(kernel))
        patch.setattr(torch.cuda, "get_device_capability", lambda device=None: capability)
        patch.setattr(F, "scaled_dot_product_attention", card.attend)
        with FakeTensorMode(allow_non_fake_inputs=True):
            yield card


@contextmanager
def forgotten() -> Iterator[None]:
    """Let nothing that was found out about a card outlive it."""
    for known in (attention._flash_takes_groups, attention._flash_attn_runs):
        known.cache_clear()
    try:
        yield
    finally:
        for known in (attention._flash_takes_groups, attention._flash_attn_runs):
            known.cache_clear()
