"""What the pack does in each call in ComfyUI never makes the CPU wait for the GPU, which is only pretended."""

import pytest
import torch
from comfy.ldm.modules import attention
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from lumina_next.nextdit import ContextDrop, RopeScaling
from lumina_next.nextdit.regions import Region, Regions
from lumina_next.nextdit.span import Span
from lumina_next.nodes.adapter.models.conditioning import TextMask, text_conds
from lumina_next.nodes.adapter.models.image import Network
from lumina_next.nodes.adapter.models.multiview import MultiViewNetwork
from lumina_next.nodes.adapter.models.views import text_per_set
from lumina_next.nodes.adapter.patches.regions import KEY, MASKS
from lumina_next.nodes.adapter.sampling.flow import FlowVelocity
from lumina_next.samplers import METHODS, integrate
from lumina_next.tests.support.pretended_gpu import pretended

FIELDS = {"dim": 64, "n_layers": 2, "n_heads": 4, "n_kv_heads": 2, "text_dim": 24}


class Waits(TorchDispatchMode):
    """Note what reads a value off the GPU, or copies between it and the CPU; numbers in kernels' arguments do not."""

    def __init__(self):
        super().__init__()
        self.found: list[str] = []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        given = [x for x in tree_leaves((args, kwargs)) if isinstance(x, torch.Tensor)]
        on_gpu = any(x.is_cuda for x in given)
        if on_gpu and function is torch.ops.aten._local_scalar_dense.default:
            self.found.append(str(function))
        out = function(*args, **(kwargs or {}))
        made = [x for x in tree_leaves(out) if isinstance(x, torch.Tensor)]
        if given and {x.device.type for x in made} - {x.device.type for x in given}:
            self.found.append(str(function))
        return out


def waits(call) -> list[str]:
    with FakeTensorMode(allow_non_fake_inputs=True), torch.no_grad(), Waits() as seen:
        call()
    return seen.found


def inputs(batch: int = 2):
    """Return latents, sigmas, text and its mask on the GPU."""
    x, t = torch.empty(batch, 4, 16, 16, device="cuda"), torch.empty(batch, device="cuda")
    return x, t, torch.empty(batch, 9, 24, device="cuda"), torch.empty(batch, 9, device="cuda", dtype=torch.long)


CALLS = {
    "plain": {},
    "rope and drop": {"rope": RopeScaling(factor=2.0), "drop": ContextDrop(), "dropped_layers": 1},
    "regions": {KEY: Regions(4, (Region(3, span=Span(0.0, 0.9)), Region(2, 0.5, 0.3, Span(0.1, 1.0))))},
    "the demo's regions": {KEY: Regions(4, (Region(3), Region(2)), summed=True)},
}


@pytest.mark.parametrize("options", CALLS.values(), ids=CALLS)
@pytest.mark.parametrize("masked", [False, True])
def test_a_call_of_the_network_does_not_wait(options, masked, monkeypatch):
    monkeypatch.setattr(attention, "optimized_attention", attention.attention_pytorch)
    with pretended((8, 6)), torch.no_grad():
        network = Network(**FIELDS, device="cuda", operations=torch.nn)
        x, t, text, mask = inputs()
        masks = {MASKS: torch.empty(2, 2, 16, 16, device="cuda")} if KEY in options else {}
        with Waits() as seen:
            network(x, t, text, mask if masked else None, None, {}, **options, **masks)
    assert seen.found == []


def test_a_call_of_the_multi_view_network_does_not_wait(monkeypatch):
    monkeypatch.setattr(attention, "optimized_attention", attention.attention_pytorch)
    with pretended((8, 6)), torch.no_grad():
        network = MultiViewNetwork(**FIELDS, device="cuda", operations=torch.nn)
        x, t, text, mask = inputs()
        with Waits() as seen:
            network(x, t, text[:1], mask[:1], None, {}, multiview_azimuths=(0.0, 137.5))
    assert seen.found == []


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16], ids=str)
@pytest.mark.parametrize("method", METHODS)
def test_a_step_of_the_solver_does_not_wait(method, dtype):
    def steps():
        velocity = FlowVelocity(lambda x, sigma: x * sigma[:, None, None, None], None)
        integrate(velocity, torch.empty(2, 4, 8, 8, device="cuda", dtype=dtype), grid, method)

    grid = torch.linspace(0, 0.9, 3, dtype=torch.float64)
    assert waits(steps) == []


def test_the_solvers_sigma_is_that_of_the_grid_to_the_bit():
    seen = []
    velocity = FlowVelocity(lambda x, sigma: seen.append(sigma) or x * 0.3, None)
    x, t = torch.randn(2, 4, 3, 3), torch.tensor(0.7123456789, dtype=torch.float64)
    sigma = (1.0 - t).to(x)
    assert torch.equal(velocity(x, t), (x * 0.3 - x) / sigma) and torch.equal(seen[0], sigma * torch.ones(2))


def test_no_mask_where_every_token_of_the_batch_counts():
    def cond(length, padded=0, rows=1):
        mask = torch.ones(rows, length, dtype=torch.long)
        mask[:, length - padded :] = 0
        return text_conds(torch.zeros(rows, length, 24), mask)["attention_mask"].process_cond(batch_size=2)

    whole, padded, longer = cond(5), cond(5, padded=1), cond(7)
    assert whole.concat([]) is None and whole.concat([cond(5)]) is None
    assert padded.concat([]).tolist() == [[1, 1, 1, 1, 0]] * 2
    assert whole.concat([padded]).shape == (4, 5) and whole.concat([longer]).sum() == 2 * 5 + 2 * 7
    assert text_conds(torch.zeros(1, 3, 24), None)["attention_mask"].concat([]) is None
    cut = text_conds(torch.zeros(1, 3, 24), torch.tensor([[1, 1, 1, 0]]))["attention_mask"]
    assert isinstance(cut, TextMask) and cut.concat([]) is None  # what it had too much is gone
    views = text_per_set(text_conds(torch.zeros(1, 3, 24), None), 2)
    assert views["attention_mask"].process_cond(batch_size=4).concat([]) is None
    assert views["c_crossattn"].process_cond(batch_size=4).cond.shape == (2, 3, 24)


def test_conds_on_the_gpu_are_looked_at_once_a_run():
    with FakeTensorMode(), Waits() as seen:
        whole = TextMask(torch.empty(1, 5, device="cuda"), whole=True)
        whole.process_cond(batch_size=2).concat([whole.process_cond(batch_size=2)])
    assert seen.found == []


def test_what_waits_is_seen():
    assert waits(lambda: torch.empty(1, device="cuda") + torch.ones(20).to("cuda")) != []
    assert waits(lambda: torch.tensor([1.0, 2.0], device="cuda")) != []
