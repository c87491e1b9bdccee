"""Weights held in one dtype and place, computed with in another, where no injected layer does the casting."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map

# How an attribute's reading reaches __torch_function__.
SHAPE = {getattr(Tensor, name).__get__ for name in ("shape", "ndim")} | {Tensor.size, Tensor.dim, Tensor.numel}
DTYPE, DEVICE = (getattr(Tensor, name).__get__ for name in ("dtype", "device"))


class CastAtUse(Tensor):
    """A view of a weight that every operation gets cast; of an indexed one (a matrix an expert) only that part is."""

    use: tuple[torch.device, torch.dtype]

    @classmethod
    def of(cls, weight: Tensor, device: torch.device, dtype: torch.dtype) -> "CastAtUse":
        """Return `weight`, not copied, as a tensor that computes on `device` in `dtype`."""
        view = weight.detach().as_subclass(cls)
        view.use = (device, dtype)
        return view

    @classmethod
    def __torch_function__(cls, func, types, args=(), kwargs=None):
        if func is DTYPE:
            return args[0].use[1]
        if func is DEVICE:
            return args[0].use[0]
        with torch._C.DisableTorchFunctionSubclass():
            if func in SHAPE:
                return func(*args, **(kwargs or {}))
            if func is Tensor.__getitem__:
                return func(args[0].as_subclass(Tensor), args[1]).to(*args[0].use)
            return func(*tree_map(_cast, args), **tree_map(_cast, kwargs or {}))


def _cast(value: Any) -> Any:
    return value.as_subclass(Tensor).to(*value.use) if isinstance(value, CastAtUse) else value


@contextmanager
def cast_at_use(model: nn.Module, skip: set[nn.Module], device: torch.device, dtype: torch.dtype) -> Iterator[None]:
    """While the block runs, parameters of all modules but those of `skip` compute on `device` in `dtype`.

    For inference only: no gradient comes to the parameters.
    """
    shadowed: list[tuple[nn.Module, str]] = []
    try:
        for module in model.modules():
            if module in skip:
                continue
            for name, weight in module._parameters.items():
                if weight is None or not weight.is_floating_point():
                    continue
                if (weight.device, weight.dtype) != (device, dtype):
                    # An instance's own attribute comes before its parameters, which stay what they are.
                    module.__dict__[name] = CastAtUse.of(weight, device, dtype)
                    shadowed.append((module, name))
        yield
    finally:
        for module, name in shadowed:
            module.__dict__.pop(name, None)
