"""What might still make a step faster, each against the step as it is: what earns its place goes into the product."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from importlib.util import find_spec

from torch import Tensor
from torch.nn.attention import sdpa_kernel

from ..shared.graphs import recorded
from .attention import CUDNN_FIRST
from .networks import Networks
from .stage import Setup
from .tables import Row
from .timing import Calls, error_of, turns
from .variants import Variant, variant_of

VARIANTS = {
    "cuDNN before flash": (Variant(), True),
    "merged products": (Variant(merged=True), False),
    "fused kernels": (Variant(kernels="own"), False),
    "core's fused kernels": (Variant(kernels="core"), False),
    "all but core's": (Variant(merged=True, kernels="own"), True),
}


@contextmanager
def order(cudnn_first: bool) -> Iterator[None]:
    """Let PyTorch ask cuDNN before flash attention, or as it does."""
    if not cudnn_first:
        yield
        return
    with sdpa_kernel(CUDNN_FIRST, set_priority=True):
        yield


def ordered(call: Callable[[], Tensor], cudnn_first: bool) -> Tensor:
    """Make a call under an order of kernels."""
    with order(cudnn_first):
        return call()


def chosen(setup: Setup, nets: Networks, size: str, name: str) -> Row:
    """A step with one choice against one without any."""
    variant, cudnn_first = VARIANTS[name]
    grid = nets.grids[size]
    inputs = nets.inputs(grid)
    model = variant_of(nets.ours, variant) if variant != Variant() else nets.ours
    if variant.kernels == "own" and setup.rehearse and setup.device.type == "cpu":
        raise RuntimeError("kernels of Triton need a card: on a CPU its interpreter runs them in a test")
    if variant.kernels == "core" and find_spec("comfy_kitchen") is None:
        raise RuntimeError("core's kernels need comfy-kitchen: pip install comfy-kitchen")
    calls: Calls = {"as it is": nets.call(inputs), name: partial(ordered, nets.call(inputs, model), cudnn_first)}
    plain = calls["as it is"]()  # first: PyTorch's own order of kernels is lost where sdpa_kernel comes before any call
    error = error_of(calls[name](), plain)
    del plain
    seconds = turns(calls, setup.device, setup.budget(1.0))
    row: Row = {"as it is, ms": 1000 * seconds["as it is"], "so, ms": 1000 * seconds[name]}
    row |= {"times as fast": seconds["as it is"] / seconds[name]}
    return row | nets.utilisation(grid, seconds[name]) | {"difference": error}


def graph(setup: Setup, nets: Networks, size: str) -> Row:
    """A step replayed from a CUDA graph: at small sizes launching takes longer than computing."""
    inputs = nets.inputs(nets.grids[size])
    call = nets.call(inputs)
    if setup.device.type != "cuda":
        raise RuntimeError("CUDA graphs need a card")
    replay = recorded(call, setup.device)
    seconds = turns({"eager": call, "graph": replay}, setup.device, setup.budget(1.0))
    row: Row = {"eager, ms": 1000 * seconds["eager"], "graph, ms": 1000 * seconds["graph"]}
    return row | {"times as fast": seconds["eager"] / seconds["graph"], "difference": error_of(replay(), call())}


def measure(setup: Setup) -> None:
    """Write the tables: the simplest choices first."""
    nets = Networks(setup.device, setup.rehearse, compare=False)
    for size in ("1024²", "2048²"):
        for name in VARIANTS:
            key = {"choice": name, "size": size}
            setup.tables.row("Choices", key, partial(chosen, setup, nets, size, name))
    for size in ("512²", "1024²"):
        setup.tables.row("CUDA graph", {"size": size}, partial(graph, setup, nets, size))
