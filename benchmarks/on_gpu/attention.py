"""Seconds of every way to attend that PyTorch has, and of flash-attn, at the 2B model's sizes."""

import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import product
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from ...nextdit.layers.attend import Attend, default_attend, expand_keys
from .stage import Setup
from .timing import Calls, turns, working

DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.float32}
BATCH, HEADS, KV_HEADS = 2, 32, 8
TEXT = 128
KERNELS = {
    "flash": [SDPBackend.FLASH_ATTENTION],
    "cudnn": [SDPBackend.CUDNN_ATTENTION],
    "efficient": [SDPBackend.EFFICIENT_ATTENTION],
    "math": [SDPBackend.MATH],
}
CUDNN_FIRST = [
    SDPBackend.CUDNN_ATTENTION,
    SDPBackend.FLASH_ATTENTION,
    SDPBackend.EFFICIENT_ATTENTION,
    SDPBackend.MATH,
]


@dataclass(frozen=True)
class Case:
    """One call: queries of `tokens`, keys of as many or of a text's, grouped or expanded."""

    tokens: int
    head_dim: int
    dtype: str
    keys: str
    mask: bool | None = None
    """None: self-attention."""

    @property
    def length(self) -> int:
        return self.tokens if self.mask is None else min(TEXT, self.tokens)

    @property
    def scores(self) -> int:
        return BATCH * HEADS * self.tokens * self.length

    def key(self) -> dict[str, Any]:
        found: dict[str, Any] = {"tokens": self.tokens, "head_dim": self.head_dim, "dtype": self.dtype}
        found["keys"] = self.keys
        return found if self.mask is None else found | {"mask": "yes" if self.mask else "no"}


def sdpa(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None) -> Tensor:
    """Attend with whatever kernel PyTorch takes for these keys as they are."""
    return F.scaled_dot_product_attention(q, k, v, attn_mask=mask, enable_gqa=q.shape[1] != k.shape[1])


def with_kernels(kernels: list[SDPBackend], attend: Attend = sdpa) -> Attend:
    """Return a way to attend with the first of some kernels that takes the call."""

    def forced(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None) -> Tensor:
        with sdpa_kernel(kernels, set_priority=True):
            return attend(q, k, v, mask)

    return forced


def flash_attn(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None) -> Tensor:
    """Attend with the package flash-attn. Raises ImportError without it, ValueError on a mask."""
    from flash_attn import flash_attn_func

    if mask is not None:
        raise ValueError("it takes no mask")
    return flash_attn_func(*(x.transpose(1, 2) for x in (q, k, v))).transpose(1, 2)


WAYS: dict[str, Attend] = {
    "torch's choice": sdpa,
    **{name: with_kernels(kernels) for name, kernels in KERNELS.items()},
    "cudnn first": with_kernels(CUDNN_FIRST),
    "flash-attn": flash_attn,
    "the pack's": default_attend,
}


def cases(sizes: tuple[int, ...], head_dims: tuple[int, ...], masks: tuple[bool | None, ...]) -> list[Case]:
    """Return all cases, 16 bit first: float32 takes longest and matters least."""
    every = product(("bf16", "fp16", "fp32"), head_dims, sizes, ("grouped", "expanded"), masks)
    return [Case(tokens, width, dtype, keys, mask) for dtype, width, tokens, keys, mask in every]


def tensors(case: Case, device: torch.device) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
    """Return random q, k, v in the layout that the network hands over, and the mask."""
    dtype = DTYPES[case.dtype]

    def heads(count: int, length: int) -> Tensor:
        x = torch.randn(BATCH, length, count * case.head_dim, device=device).to(dtype)
        return x.unflatten(-1, (count, case.head_dim)).transpose(1, 2)

    q, k, v = heads(HEADS, case.tokens), heads(KV_HEADS, case.length), heads(KV_HEADS, case.length)
    if case.keys == "expanded":
        k, v = expand_keys(q, k, v)
    mask = None
    if case.mask:
        mask = torch.zeros(BATCH, 1, 1, case.length, device=device, dtype=dtype)
        mask[..., -case.length // 3 :] = -math.inf
    return q, k, v, mask


def exact(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, rows: int = 32) -> Tensor:
    """Return what the first rows of queries should give, in float32 (float64 for float32)."""
    dtype = torch.float64 if q.dtype == torch.float32 else torch.float32
    k, v = expand_keys(q, k, v)
    scores = q[:, :, :rows].to(dtype) @ k.to(dtype).transpose(-1, -2) * q.shape[-1] ** -0.5
    return (scores if mask is None else scores + mask.to(dtype)).softmax(-1) @ v.to(dtype)


def measure_case(setup: Setup, case: Case) -> dict[str, Any]:
    """Return milliseconds by every way that takes the case, and which is the fastest."""
    q, k, v, mask = tensors(case, setup.device)
    calls: Calls = {name: partial(way, q, k, v, mask) for name, way in WAYS.items() if fits(name, case, setup.device)}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # why a kernel does not take a call
        calls, found, _ = working(calls)
        true = exact(q, k, v, mask)
        errors = {name: (out[:, :, : true.shape[2]] - true).abs().max().item() for name, out in found.items()}
        del found
        seconds = turns(calls, setup.device, setup.budget(0.25))
    best = min(seconds, key=lambda name: seconds[name])
    row: dict[str, Any] = {f"{name}, ms": 1000 * seconds.get(name, math.nan) for name in WAYS}
    row |= {"fastest": best, "TFLOP/s": 4 * case.scores * case.head_dim / seconds[best] / 1e12}
    return row | {"largest error": max(errors.values()), "least exact": max(errors, key=lambda name: errors[name])}


def fits(name: str, case: Case, device: torch.device) -> bool:
    """Tell whether there is memory for a way: plain products keep all scores, three times."""
    if name != "math" or device.type != "cuda":
        return True
    return 3 * case.scores * max(4, DTYPES[case.dtype].itemsize) < torch.cuda.mem_get_info(device)[0]


def all_cases(rehearse: bool) -> dict[str, list[Case]]:
    """Return the tables' titles and their rows."""
    sizes = (16, 24) if rehearse else (4096, 16384)
    large = cases(sizes[:1], (72,), (None,)) if rehearse else cases(sizes, (72, 128), (None,))
    text = cases(sizes[:1], (72,), (False, True)) if rehearse else cases(sizes, (72, 128), (False, True))
    return {"Self-attention": large, "Attention to the text": text}


def measure(setup: Setup) -> None:
    """Write both tables, turn by turn, so that neither waits for the other's slow rows."""
    tables = all_cases(setup.rehearse)
    queue: list[tuple[str, Case]] = [(title, case) for title, each in tables.items() for case in each]
    queue.sort(key=lambda entry: entry[1].dtype == "fp32")
    for title, case in queue:
        job: Callable[[], dict[str, Any]] = partial(measure_case, setup, case)
        setup.tables.row(title, case.key(), job)
