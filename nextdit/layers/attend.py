"""Attention backends: what computes softmax(q kᵀ) v."""

import warnings
from collections.abc import Callable
from functools import cache
from importlib import import_module
from typing import TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor

from .cpu_rows import attend_by_rows, rows_are_faster

Attend = Callable[[Tensor, Tensor, Tensor, Tensor | None], Tensor]
"""attend(q, k, v, mask): q (B, H, L, D), k and v (B, H_kv, S, D), mask None or additive (B, 1, 1, S) → (B, H, L, D)."""

Question = TypeVar("Question", bound=Callable[..., bool])

FLASH_HEAD_DIM = 256
"""The widest head that flash-attn takes."""


def answered_once(question: Question) -> Question:
    """Mark a question to card and build, which no graph can hold: torch.compile takes the answer for a constant."""
    # as torch.compiler.assume_constant_result does, which imports the compiler for it: seconds at every start
    question._dynamo_marked_constant = True  # type: ignore[attr-defined]
    return question


def sdpa(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None) -> Tensor:
    """Attend with PyTorch's scaled_dot_product_attention; K/V are expanded where no fused kernel takes them grouped."""
    grouped = takes_grouped_keys(q, k, mask)
    k, v = (k, v) if grouped else expand_keys(q, k, v)
    return F.scaled_dot_product_attention(q, k, v, attn_mask=mask, enable_gqa=grouped)


def expand_keys(q: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
    """Repeat grouped k and v (B, H_kv, S, D) for every head of q (B, H, L, D), if they are grouped → (B, H, S, D)."""
    repeats = q.shape[1] // k.shape[1]
    return (k, v) if repeats == 1 else (k.repeat_interleave(repeats, dim=1), v.repeat_interleave(repeats, dim=1))


def takes_grouped_keys(q: Tensor, k: Tensor, mask: Tensor | None) -> bool:
    """Tell whether k is grouped and PyTorch has a fused kernel for it as it is; never waits for the GPU.

    Math attention takes any grouped keys, but keeps all scores: 64 GiB at 2048² in float32. On CUDA flash attention
    takes them, without a mask only; memory-efficient attention never does (PyTorch's transformers/cuda/sdp_utils.cpp).
    """
    if q.shape[1] == k.shape[1] or mask is not None:
        return False
    if q.device.type == "cpu":
        return True
    return q.is_cuda and flash_takes_groups(q.device, q.dtype, q.shape[1], k.shape[1], q.shape[-1])


@answered_once
def flash_takes_groups(device: torch.device, dtype: torch.dtype, heads: int, kv_heads: int, head_dim: int) -> bool:
    """Ask PyTorch whether its own flash attention takes grouped keys of this kind on a CUDA device."""
    return _flash_takes_groups(device, dtype, heads, kv_heads, head_dim, torch.backends.cuda.flash_sdp_enabled())


@cache
def _flash_takes_groups(device, dtype, heads: int, kv_heads: int, head_dim: int, enabled: bool) -> bool:
    try:
        q = torch.empty(1, heads, 1, head_dim, device=device, dtype=dtype)
        k = torch.empty(1, kv_heads, 1, head_dim, device=device, dtype=dtype)
        parameters = torch.backends.cuda.SDPAParams(q, k, k, None, 0.0, False, True)
        return enabled and torch.backends.cuda.can_use_flash_attention(parameters)
    except (RuntimeError, AssertionError):  # no such card: the tensors are only pretended
        return False


@answered_once
def flash_attn_runs(device: torch.device) -> bool:
    """Tell whether flash-attn is installed and runs on a CUDA device; warns if it is broken."""
    return _flash_attn_runs(device)


@cache
def _flash_attn_runs(device: torch.device) -> bool:
    try:
        function = import_module("flash_attn").flash_attn_func
        if torch.cuda.get_device_capability(device) < (8, 0):
            return False  # before Ampere: nothing is wrong with the installation
        one = torch.zeros(1, 1, 1, 8, device=device, dtype=torch.float16)
        function(one, one, one)  # a build without this card's kernels only says so when it runs
    except ModuleNotFoundError as error:
        if error.name != "flash_attn":
            _say_broken(error)
        return False
    except Exception as error:  # built for another torch: undefined symbols, missing libraries, names and operators
        _say_broken(error)
        return False
    return True


def _say_broken(error: Exception) -> None:
    warnings.warn(
        f"flash-attn is installed but does not work ({type(error).__name__}: {error}), so PyTorch's attention is used; "
        "install a flash-attn that was built for this torch and this GPU, or remove it",
        stacklevel=2,
    )


def default_attend(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None) -> Tensor:
    """Attend with flash-attn where it is installed, runs and takes the call (CUDA, 16 bit, no mask), else with `sdpa`.

    On CPUs that multiply bfloat16 matrices, and do so outside of `sdpa` only, with `attend_by_rows`.
    """
    if mask is None and rows_are_faster(q, k):
        return attend_by_rows(q, k, v)
    fits = q.is_cuda and q.dtype in (torch.float16, torch.bfloat16) and q.shape[-1] <= FLASH_HEAD_DIM
    if mask is not None or not fits or not flash_attn_runs(q.device):
        return sdpa(q, k, v, mask)
    from flash_attn import flash_attn_func  # of a function that is handed in, torch.compile would break the graph

    q, k, v = (x.transpose(1, 2) for x in (q, k, v))  # it wants (B, L, H, D)
    return flash_attn_func(q, k, v).transpose(1, 2)
