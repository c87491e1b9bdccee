"""Which attention a call gets: on a GPU that is only pretended, with flash-attn in all states of repair."""

import sys
import warnings
from functools import cache
from types import ModuleType

import pytest
import torch
from torch._dynamo.testing import CompileCounter

from lumina_next.nextdit import ContextDrop, NextDiT, NextDiTConfig, RopeScaling
from lumina_next.nextdit.call import Call
from lumina_next.nextdit.layers import attend as attention
from lumina_next.nextdit.layers.attend import default_attend, expand_keys, sdpa
from lumina_next.nextdit.layers.tokens import known_mask, masked_mean
from lumina_next.tests.support.pretended_gpu import pretended

CONFIG = NextDiTConfig(dim=64, n_layers=2, n_heads=4, n_kv_heads=2, text_dim=24)
CARDS = [(7, 5), (8, 6), (9, 0), (12, 0)]


def heads(q=4, kv=2, width=72, dtype=torch.float32, device="cuda", keys=16):
    """Return q, k and v."""
    shapes = ((2, q, 16, width), (2, kv, keys, width), (2, kv, keys, width))
    return [torch.empty(shape, dtype=dtype, device=device) for shape in shapes]


@pytest.mark.parametrize("masked", [False, True], ids=["no mask", "mask"])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32], ids=str)
@pytest.mark.parametrize("capability", CARDS, ids=str)
def test_no_call_ends_in_math_attention_that_a_fused_kernel_would_take(capability, dtype, masked):
    for width in (8, 32, 64, 72, 128, 256, 320):
        with pretended(capability) as card:
            q, k, v = heads(width=width, dtype=dtype)
            mask = torch.empty(2, 1, 1, 16, dtype=dtype, device="cuda") if masked else None
            for attend in (sdpa, default_attend):
                assert attend(q, k, v, mask).shape == q.shape
            unknown = dtype == torch.bfloat16 and capability < (8, 0)  # to any of the kernels
        assert card.chosen == ["math" if unknown else card.chosen[0]] * 2
        assert unknown or "math" not in card.chosen


@pytest.mark.parametrize("grouped", [True, False], ids=["grouped", "ungrouped"])
def test_keys_stay_grouped_for_flash_attention_only(grouped):
    kv = 2 if grouped else 4
    with pretended((8, 6)) as card:
        q, k, v = heads(kv=kv, dtype=torch.bfloat16)
        sdpa(q, k, v)
        sdpa(q, k, v, torch.empty(2, 1, 1, 16, dtype=torch.bfloat16, device="cuda"))
        sdpa(*(x.float() for x in (q, k, v)))
    assert card.keys == [kv, 4, 4]


def test_without_a_card_nothing_raises():
    with torch._subclasses.fake_tensor.FakeTensorMode():
        q, k, _ = heads(dtype=torch.bfloat16)
        assert not attention.takes_grouped_keys(q, k, None)
    attention._flash_takes_groups.cache_clear()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_grouped_and_expanded_keys_give_the_same_bits_on_a_cpu(dtype):
    torch.manual_seed(0)
    q, k, v = (torch.randn_like(x) for x in heads(dtype=dtype, device="cpu", keys=9))
    for mask in (None, torch.zeros(2, 1, 1, 9, dtype=dtype)):
        assert torch.equal(sdpa(q, k, v, mask), sdpa(q, *expand_keys(q, k, v), mask))
    assert torch.equal(sdpa(q, k, v), sdpa(q, k, v, mask))  # and a mask that hides nothing is none


def broken_module(error: Exception) -> ModuleType:
    """Return a flash_attn in which the function cannot be had."""

    class Broken(ModuleType):
        def __getattr__(self, name):
            raise error

    return Broken("flash_attn")


def working_module(function) -> ModuleType:
    module = ModuleType("flash_attn")
    module.flash_attn_func = function
    return module


def no_kernel(q, k, v):
    raise RuntimeError("CUDA error: no kernel image is available for execution on the device")


BROKEN = {
    "undefined symbol": broken_module(ImportError("flash_attn_2_cuda.so: undefined symbol: _ZN3c104cuda9SetDevice")),
    "missing library": broken_module(OSError("libcudart.so.11.0: cannot open shared object file")),
    "half of it": broken_module(ModuleNotFoundError("No module named 'flash_attn_2_cuda'", name="flash_attn_2_cuda")),
    "another package": ModuleType("flash_attn"),
    "operators defined twice": broken_module(RuntimeError("Tried to register an operator twice")),
    "no kernels for the card": working_module(no_kernel),
}


@pytest.mark.parametrize("module", BROKEN.values(), ids=BROKEN)
def test_a_broken_flash_attn_falls_back_and_says_so_once(module, monkeypatch):
    monkeypatch.setitem(sys.modules, "flash_attn", module)
    with pretended((8, 6)) as card:
        q, k, v = heads(dtype=torch.bfloat16)
        with pytest.warns(UserWarning, match="flash-attn is installed but does not work .* install a flash-attn that"):
            default_attend(q, k, v)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            default_attend(q, k, v)
    assert card.chosen == ["flash", "flash"]


@pytest.mark.parametrize("error", [ImportError("undefined symbol"), OSError("no libcudart"), RuntimeError("twice")])
def test_a_flash_attn_that_breaks_its_import_falls_back(error, monkeypatch):
    def failing(name):
        raise error

    monkeypatch.setattr(attention, "import_module", failing)
    with pretended((9, 0)) as card, pytest.warns(UserWarning, match="flash-attn is installed but does not work"):
        default_attend(*heads(dtype=torch.float16))
    assert card.chosen == ["flash"]


def test_flash_attn_is_used_where_it_works_and_takes_the_call(monkeypatch):
    calls = []

    def function(q, k, v):
        calls.append((q.dtype, q.shape[1], q.shape[-1]))
        return torch.empty_like(q)

    monkeypatch.setitem(sys.modules, "flash_attn", working_module(function))
    trial = (torch.float16, 1, 8)
    for capability in CARDS:
        calls.clear()
        with warnings.catch_warnings(), pretended(capability) as card:
            warnings.simplefilter("error")
            for dtype, width in ((torch.bfloat16, 72), (torch.float16, 256), (torch.float16, 264), (torch.float32, 72)):
                assert default_attend(*heads(width=width, dtype=dtype)).shape == (2, 4, 16, width)
            mask = torch.empty(2, 1, 1, 16, dtype=torch.float16, device="cuda")
            default_attend(*heads(dtype=torch.float16), mask)
        if capability < (8, 0):
            assert calls == [] and len(card.chosen) == 5
        else:
            assert calls == [trial, (torch.bfloat16, 16, 72), (torch.float16, 16, 256)] and len(card.chosen) == 3


@torch.no_grad()
@pytest.mark.parametrize("flash_attn", [False, True], ids=["torch's attention", "flash-attn"])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32], ids=str)
def test_one_graph_on_a_gpu(dtype, flash_attn, monkeypatch):
    torch._dynamo.reset()
    module = working_module(lambda q, k, v: q + 0 * k.mean() * v.mean()) if flash_attn else None
    monkeypatch.setitem(sys.modules, "flash_attn", module)  # None: not installed
    # torch.compile asks outside of what pretends tensors
    monkeypatch.setattr(attention, "_flash_attn_runs", cache(lambda device: flash_attn))
    with pretended((9, 0)):
        model = NextDiT(CONFIG, device="cuda", dtype=dtype)
        x, t = torch.empty(2, 4, 16, 16, device="cuda"), torch.empty(2, device="cuda")
        text, mask = torch.empty(2, 7, 24, device="cuda"), torch.empty(2, 7, device="cuda", dtype=torch.bool)
        options = {"rope": RopeScaling(factor=2.0), "drop": ContextDrop(fade="none")}
        for given in ({}, {"text_mask": mask}, {"text_mask": mask, **options}):
            counter = CompileCounter()
            out = torch.compile(model, backend=counter, fullgraph=True)(x, t, text, **given)
            assert out.shape == x.shape and counter.frame_count == 1


@torch.no_grad()
def test_a_closure_as_attention_is_one_graph():
    torch._dynamo.reset()
    model = NextDiT(CONFIG).eval()

    def call(x, t, text):
        def attend(q, k, v, mask=None):
            return sdpa(q * scale, k, v, mask)

        return model.velocity(x, t, text, call=Call(attend=attend, cross=attend))

    scale = 1.0
    inputs = torch.randn(2, 4, 8, 8), torch.rand(2), torch.randn(2, 5, 24)
    torch.testing.assert_close(torch.compile(call, backend="eager", fullgraph=True)(*inputs), call(*inputs))


@torch.no_grad()
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_a_mask_that_hides_nothing_is_dropped_and_changes_no_bit(dtype):
    torch.manual_seed(0)
    model, masks = NextDiT(CONFIG).to(dtype).eval(), []
    x, t, text = torch.randn(2, 4, 8, 8), torch.rand(2), torch.randn(2, 5, 24)

    def spy(q, k, v, mask=None):
        masks.append(mask)
        return sdpa(q, k, v, mask)

    whole = torch.ones(2, 5, dtype=torch.long)
    assert torch.equal(model(x, t, text, whole, attend=spy), model(x, t, text))
    assert all(mask is None for mask in masks)
    assert torch.equal(model.velocity(x.to(dtype), t, text.to(dtype), whole).float(), model(x, t, text))
    for features in (text, text.to(dtype), 100 + text):
        assert torch.equal(masked_mean(features, None), masked_mean(features, whole))


def test_masks_are_only_looked_at_where_that_costs_nothing():
    padded = torch.tensor([[1, 0]])
    assert known_mask(padded) is padded and known_mask(None) is None
    assert known_mask(torch.ones(1, 2, dtype=torch.bool)) is None
    with torch._subclasses.fake_tensor.FakeTensorMode():
        for device in ("cpu", "cuda"):
            fake = torch.ones(1, 2, device=device)
            assert known_mask(fake) is fake
