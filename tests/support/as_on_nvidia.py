"""Compile networks with core's attention as it is where core finds an NVIDIA card; prints which are one graph, as JSON.

Run as a module in a process of its own: core decides at import which attention functions it defines. Tensors stay on
the CPU, with 16-bit weights, and the sizes are such that core takes its NVIDIA-only ways.
"""

import contextlib
import json
import sys
from collections.abc import Callable
from functools import partial
from typing import Any

import torch

from lumina_next.tests.support.comfy_server import find_comfyui

SIZE, TEXT = (32, 32), (2, 9, 24)  # 256 tokens a picture: core has another way for fewer than 2**17 numbers in q


def import_core() -> None:
    """Import ComfyUI as on a machine with an NVIDIA card, but with models on the CPU."""
    sys.path.insert(0, str(find_comfyui()))
    sys.argv = ["main.py", "--cpu", "--use-pytorch-cross-attention"]
    import comfy.options

    comfy.options.enable_args_parsing()
    import comfy.model_management

    found, torch.cuda.is_available = torch.cuda.is_available, lambda: True
    try:
        import comfy.ops
    finally:
        torch.cuda.is_available = found
    comfy.model_management.is_nvidia = lambda: True
    for kernel in ("flash", "cudnn", "efficient"):  # questions to a card
        setattr(torch.backends.cuda, f"can_use_{kernel}_attention", lambda *_: False)
    from comfy.ldm.modules import attention

    assert attention.optimized_attention is attention.attention_pytorch
    names = comfy.ops.scaled_dot_product_attention.__code__.co_names
    assert "sdpa_kernel" in names, "this core has no NVIDIA-only attention: nothing would be tested"


def fields(**changes: Any) -> dict[str, Any]:
    """Return a small architecture with grouped keys."""
    return {"dim": 256, "n_layers": 2, "n_heads": 8, "n_kv_heads": 2, "text_dim": TEXT[-1], **changes}


def seeded(network: torch.nn.Module) -> torch.nn.Module:
    """Give every weight a value: comfy.ops leaves them uninitialised."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(0.1 * torch.randn(parameter.shape, generator=generator))
    return network.eval()


def cases() -> dict[str, Callable[[], tuple[torch.nn.Module, Callable[..., torch.Tensor]]]]:
    """Return the cases by name, each a network and a call of it, given the network or what compiled it."""
    import comfy.ops

    from lumina_next.nextdit import ContextDrop, NextDiT, NextDiTConfig, RopeScaling
    from lumina_next.nextdit.layers.rope_scaling import METHODS, TIME_AWARE_LATE
    from lumina_next.nextdit.regions import Region, Regions
    from lumina_next.nextdit.span import Span
    from lumina_next.nodes.adapter.models.image import Network
    from lumina_next.nodes.adapter.models.multiview import MultiViewNetwork
    from lumina_next.nodes.adapter.patches.regions import KEY, MASKS

    made = {"dtype": torch.bfloat16, "operations": comfy.ops.disable_weight_init}
    own = seeded(Network(**fields(), **made))
    views = seeded(MultiViewNetwork(**fields(), **made))
    plain = seeded(NextDiT(NextDiTConfig(**fields()), dtype=torch.bfloat16))
    x, t = torch.randn(2, 4, *SIZE).bfloat16(), torch.full((2,), 0.4)
    text, mask = torch.randn(TEXT).bfloat16(), torch.ones(TEXT[:2], dtype=torch.long)
    mask[1, 4:] = 0
    parts = Regions(4, (Region(3, span=Span(0.0, 0.9)), Region(2, global_weight=0.3)))
    areas = torch.rand(2, 2, *SIZE)

    def host(network, mask, **kwargs) -> torch.Tensor:
        return network(x, t, text, mask, None, {"sigmas": t}, **kwargs)

    def pure(network, mask, **kwargs) -> torch.Tensor:
        return network(x, t, text, mask, **kwargs)

    found = {}
    for where, network, call, drop in (
        ("ComfyUI", own, host, {"drop": ContextDrop(), "dropped_layers": 1}),
        ("PyTorch", plain, pure, {"drop": ContextDrop(fade="none")}),
    ):
        found[f"{where}, no mask"] = network, partial(call, mask=None)
        found[f"{where}, mask"] = network, partial(call, mask=mask)
        found[f"{where}, drop"] = network, partial(call, mask=mask, **drop)
        for method in METHODS if network is own else [TIME_AWARE_LATE]:
            rope = RopeScaling(method, 2.0, proportional=True)
            found[f"{where}, {method}"] = network, partial(call, mask=mask, rope=rope)
        found[f"{where}, rope and drop"] = network, partial(call, mask=mask, rope=RopeScaling(factor=2.0), **drop)
    replaced = {"patches_replace": {"dit": {("double_block", 1): lambda args, extra: extra["original_block"](args)}}}
    found["ComfyUI, closure and replacement"] = own, lambda network: network(x, t, text, mask, None, replaced)
    found["ComfyUI, regions"] = own, partial(host, mask=mask, **{KEY: parts, MASKS: areas})
    azimuths = {"multiview_azimuths": (0.0, 137.5)}
    found["ComfyUI, views"] = views, lambda network: network(x, t, text[:1], mask[1:], None, {}, **azimuths)
    return found


@torch.no_grad()
def verdict(network: torch.nn.Module, call: Callable[..., torch.Tensor]) -> str:
    """Return "one graph", or what goes wrong."""
    torch._dynamo.reset()
    expected = call(network)
    try:
        out = call(torch.compile(network, backend="eager", fullgraph=True))
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    scale = expected.float().abs().max()
    return "one graph" if (out - expected).abs().max() <= 0.02 * scale else "another result"


if __name__ == "__main__":
    with contextlib.redirect_stdout(sys.stderr):
        import_core()
        results = {name: verdict(*case) for name, case in cases().items()}
    print(json.dumps(results))
