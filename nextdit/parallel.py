"""One picture by several processes: each has some of its rows, and all of them all keys and values."""

from dataclasses import replace
from itertools import pairwise

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor

from .call import Call
from .context_drop import ContextDrop
from .layers.attend import Attend
from .layers.rope_scaling import RopeScaling
from .layers.tokens import known_mask, pad_to_patches
from .models.image import NextDiT


def share_rows(rows: int, processes: int, window: int = 1) -> list[tuple[int, int]]:
    """Return every process's rows of tokens as (first, last + 1), in whole windows but for the picture's ragged edge.

    Raises ValueError if there are fewer windows than processes.
    """
    windows = -(-rows // window)
    if windows < processes:
        raise ValueError(
            f"{processes} processes share a picture by rows of tokens, but it has only {rows} in windows of {window}; "
            "start fewer processes, or make a taller picture"
        )
    bounds = [min(rows, windows * i // processes * window) for i in range(processes + 1)]
    return list(pairwise(bounds))


def gather(x: Tensor, sizes: list[int], dim: int, group: dist.ProcessGroup | None = None) -> Tensor:
    """Join every process's part along `dim` (≥ 0), process i's being sizes[i] long; the same on all of them."""
    missing = max(sizes) - x.shape[dim]  # collectives want equal shapes
    x = F.pad(x, [0, 0] * (x.ndim - 1 - dim) + [0, missing]).contiguous()
    parts = [torch.empty_like(x) for _ in sizes]
    dist.all_gather(parts, x, group=group)
    return torch.cat([part.narrow(dim, 0, size) for part, size in zip(parts, sizes, strict=True)], dim)


def forward_by_rows(
    model: NextDiT,
    x: Tensor,
    t: Tensor,
    text: Tensor,
    text_mask: Tensor | None = None,
    *,
    rope: RopeScaling | None = None,
    drop: ContextDrop | None = None,
    attend: Attend | None = None,
    group: dist.ProcessGroup | None = None,
) -> Tensor:
    """Do model.forward together with the group's other processes, which all call this with the same inputs.

    Everything but attention works on a process's own rows; keys and values, which grouped heads keep narrow, are
    gathered in every layer. All processes get the whole velocity (B, C, H, W), the same.
    Raises what forward raises, and ValueError on a picture with too few rows for the group.
    """
    p, dtype = model.config.patch_size, model.x_embedder.weight.dtype
    model.check(x.shape, text.shape[-1])
    call = Call.of(t, model.config.n_layers, drop, rope=rope, attend=attend)
    window = drop.window if drop is not None and call.dropped_layers else 1
    whole = pad_to_patches(x, p)
    rows, columns = whole.shape[-2] // p, whole.shape[-1] // p
    shares = share_rows(rows, dist.get_world_size(group), window)
    first, last = shares[dist.get_rank(group)]
    tokens = [(end - start) * columns for start, end in shares]
    pooled = [-(-(end - start) // window) * -(-columns // window) for start, end in shares]
    own = (last - first) * columns
    logit_scale = call.scaling.logit_scale(rows * columns)

    def attend_to_all(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None) -> Tensor:
        k, v = gather(torch.stack([k, v]), tokens if k.shape[2] == own else pooled, 3, group)
        return call.attend(q if logit_scale == 1.0 else q * logit_scale, k, v, mask)

    own_call = replace(
        call,
        rope=replace(call.scaling, proportional=False),  # its scale counts the whole picture's tokens
        attend=attend_to_all,
        cross=call.attend,
        positions=[torch.arange(first, last, device=x.device), torch.arange(columns, device=x.device)],
    )
    out = model.velocity(
        whole[:, :, first * p : last * p].to(dtype), t, text.to(dtype), known_mask(text_mask), own_call
    )
    out = gather(out, [(end - start) * p for start, end in shares], 2, group)
    return out[:, :, : x.shape[-2], : x.shape[-1]].to(x.dtype)
