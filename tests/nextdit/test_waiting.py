"""A call never makes the CPU wait for the GPU, nor a CUDA graph impossible; on a GPU that is only pretended."""

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from lumina_next.nextdit import ContextDrop, NextDiT, NextDiTConfig, RopeScaling
from lumina_next.nextdit.call import Call
from lumina_next.nextdit.layers.rope_scaling import METHODS

CONFIG = NextDiTConfig(dim=64, n_layers=2, n_heads=4, n_kv_heads=2, text_dim=24)


class Waits(TorchDispatchMode):
    """Note the operations that read a value off the GPU, or that see a tensor in the CPU's memory."""

    def __init__(self):
        super().__init__()
        self.found: list[str] = []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        if function is torch.ops.aten._local_scalar_dense.default:
            self.found.append(str(function))
        out = function(*args, **(kwargs or {}))
        tensors = [x for x in tree_leaves((args, kwargs, out)) if isinstance(x, torch.Tensor)]
        if any(x.device.type == "cpu" for x in tensors):
            self.found.append(str(function))
        return out


def waits(call, masked=True):
    """Return what `call` does that waits, given a network and its inputs on the GPU."""
    with FakeTensorMode(), torch.no_grad():
        model = NextDiT(CONFIG, device="cuda")
        x, t = torch.empty(2, 4, 12, 20, device="cuda"), torch.empty(2, device="cuda")
        text = torch.empty(2, 7, 24, device="cuda")
        mask = torch.empty(2, 7, device="cuda", dtype=torch.bool) if masked else None
        with Waits() as seen:
            call(model, x, t, text, mask)
    return seen.found


@pytest.mark.parametrize("masked", [True, False], ids=["padded text", "whole text"])
@pytest.mark.parametrize("factor", [2.0, (1.0, 3.0)], ids=str)
@pytest.mark.parametrize("method", METHODS)
def test_no_rope_method_waits(method, factor, masked):
    rope = RopeScaling(method, factor, proportional=True)
    assert waits(lambda model, *inputs: model.velocity(*inputs, Call(rope)), masked) == []


@pytest.mark.parametrize("before_rope", [False, True])
def test_context_drop_at_all_times_does_not_wait(before_rope):
    drop = ContextDrop(fade="none", before_rope=before_rope)
    assert waits(lambda model, *inputs: model(*inputs, drop=drop)) == []


def test_what_waits_is_seen():
    assert waits(lambda model, x, *_: x + torch.ones(20).to(x.device)) != []
    assert waits(lambda model, x, *_: torch.tensor([1.0, 2.0], device=x.device)) != []
    with pytest.raises(Exception, match="_local_scalar_dense"):
        waits(lambda model, x, t, *_: t[0].item())
