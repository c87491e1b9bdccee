"""What the patch nodes cost where they do nothing: `python -m lumina_next.benchmarks.inert`.

The time that Scaled RoPE's and Context Drop's wrappers take at the training size, beside that of the demo's smallest
call of the network. Needs a ComfyUI: `--comfyui`, or COMFYUI_PATH.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch

from ...nextdit.layers.rope_scaling import TIME_AWARE_LATE
from ..shared.comfyui import add_comfyui, start_comfyui
from ..shared.options import ROOT
from ..shared.report import write_results
from ..shared.truth import DEMO

LATENT = torch.zeros(1, 3, 64, 64), torch.tensor([0.5])


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add_comfyui(parser)
    add("--results", type=Path, default=ROOT / "benchmarks" / "results")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> None:
    options = parse(arguments)
    start_comfyui(options.comfyui)
    import comfy.sd

    from ...nextdit import ContextDrop
    from ...nodes.adapter.patches.context_drop import drop_context
    from ...nodes.adapter.patches.scaled_rope import scale_rope

    model = comfy.sd.load_diffusion_model(str(DEMO / "diffusion_models" / "lumina-next-demo.safetensors"))
    text = torch.randn(1, 8, model.model.diffusion_model.config.text_dim)
    call = milliseconds(lambda: model.model.apply_model(*LATENT, c_crossattn=text), 40)
    patched = {
        "Scaled RoPE": scale_rope(model, TIME_AWARE_LATE)[0],
        "Context Drop": drop_context(model, ContextDrop(1)),
    }
    rows = [{"node": node, **measure(patch, call)} for node, patch in patched.items()]
    settings = {"device": "cpu", "threads": torch.get_num_threads()}
    write_results(options.results, "inert", settings, {"64 × 64 px": rows})


def measure(patched, call: float) -> dict:
    """Return how many wrappers a patched MODEL has and what they take, with a network that does nothing."""
    from comfy.patcher_extension import WrapperExecutor, WrappersMP, get_all_wrappers

    def executor(wrappers: list) -> Callable:
        found = WrapperExecutor.new_class_executor(lambda x, *_, **__: x, patched.model, wrappers)
        return lambda: found.execute(*LATENT)

    wrappers = get_all_wrappers(WrappersMP.APPLY_MODEL, {"wrappers": patched.wrappers})
    own = milliseconds(executor(wrappers), 4000) - milliseconds(executor([]), 4000)
    return {
        "wrappers": len(wrappers),
        "wrappers, ms": f"{own:.4f}",
        "call, ms": call,
        "share, %": f"{100 * own / call:.3f}",
    }


@torch.inference_mode()
def milliseconds(run: Callable, times: int) -> float:
    """Return the median milliseconds of a call, after three to warm up."""
    seconds = []
    for _ in range(times + 3):
        start = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - start)
    return 1000 * statistics.median(seconds[3:])
