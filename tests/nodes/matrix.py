"""Our nodes (rows) with what ComfyUI users combine them with (columns): a table that tests run and docs print.

`python -m lumina_next.tests.nodes.write_combinations` writes docs/combinations.md anew.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

import comfy.samplers
import torch

from lumina_next.nextdit import ContextDrop
from lumina_next.nodes.adapter import sampling
from lumina_next.nodes.adapter.context_drop import drop_context
from lumina_next.nodes.adapter.scaled_rope import scale_rope

from .patch_models import prompt

DOC = Path(__file__).parents[2] / "docs/combinations.md"
SIZE, STEPS = (24, 24), 4


@dataclass(frozen=True)
class Setup:
    """One sampling, as a graph would have it; rows and columns change parts of it."""

    model: object
    sampler: object
    sigmas: torch.Tensor
    positive: list
    negative: list
    batch: int = 1
    cfg: float = 4.0
    mask: torch.Tensor | None = None
    guider: Callable | None = None

    def run(self) -> torch.Tensor:
        """Sample from fixed noise; the first noise of a batch is that of a single picture."""
        guider = comfy.samplers.CFGGuider(self.model) if self.guider is None else self.guider(self)
        if self.guider is None:
            guider.set_conds(self.positive, self.negative)
            guider.set_cfg(self.cfg)
        shape = (self.batch, self.model.get_model_object("latent_format").latent_channels, *SIZE)
        noise = torch.randn(shape, generator=torch.Generator().manual_seed(7))
        latent = torch.zeros(shape) if self.mask is None else torch.full(shape, 0.3)
        return guider.sample(
            noise, latent, self.sampler, self.sigmas, denoise_mask=self.mask, seed=7, disable_pbar=True
        )


def plain(model) -> Setup:
    """Return the sampling without any node of ours but the loader."""
    sigmas = comfy.samplers.calculate_sigmas(model.get_model_object("model_sampling"), "simple", STEPS)
    return Setup(model, comfy.samplers.sampler_object("euler"), sigmas, prompt(6), prompt(3, 1))


def _flow(setup: Setup) -> Setup:
    sigmas = sampling.schedule_sigmas("rational", STEPS, alpha=4.0)
    return replace(setup, sampler=sampling.solver_sampler("midpoint"), sigmas=sigmas)


def patching(patch: Callable) -> Callable[[Setup], Setup]:
    """Return what applies a model patch to a setup."""
    return lambda setup: replace(setup, model=patch(setup.model))


ROWS: dict[str, Callable[[Setup], Setup]] = {
    "Load Lumina-Next Model": lambda setup: setup,
    "Scaled RoPE": patching(lambda model: scale_rope(model, "time_aware", 128)[0]),
    "Context Drop": patching(lambda model: drop_context(model, ContextDrop(2, "none"))),
    "Flow Schedule, Flow Sampler": _flow,
    "Channel Guidance": patching(lambda model: sampling.guide_channels(model, 2)),
}
LOADER = "Load Lumina-Next Model"

# How a column changes what a row gives alone.
OUTCOMES = {
    "same": "the picture of the node alone (within rounding)",
    "near": "the picture of the node alone, up to the loss of 8 bits (less than 30 % of the norm)",
    "acts": "another picture: both have an effect",
}


@dataclass(frozen=True)
class Column:
    """One thing that is combined: what it is, what it does to a result, and how it is arranged.

    `around` is in force while sampling; `run` is for what is more than one sampling, and returns the result to compare.
    """

    name: str
    outcome: str
    how: str
    arrange: Callable[[Setup], Setup] = lambda setup: setup
    around: Callable[[], AbstractContextManager] = nullcontext
    run: Callable[[Setup], torch.Tensor] = Setup.run

    def sample(self, row: Callable[[Setup], Setup], model) -> torch.Tensor:
        """Return what a row gives together with this column."""
        with self.around():
            return self.run(self.arrange(row(plain(model))))


# What excludes each other, why, and which of the two is left: tested too.
EXCLUDED = {
    ("Channel Guidance", "RenormCFG"): "each replaces the guidance, and the later one alone acts; Channel Guidance as "
    "the later one is an error that says so",
    ("Channel Guidance", "RescaleCFG"): "each replaces the guidance, and the later one alone acts; Channel Guidance as "
    "the later one is an error that says so",
    ("Channel Guidance", "Perp-Neg Guider"): "that guider does not ask for a model's guidance: Channel Guidance has no "
    "effect",
}
# What cannot be run on a CPU.
NOT_RUN = {
    "sage attention": "needs CUDA. Tested instead: all attention goes through the function that ComfyUI chose, "
    "self-attention without a mask",
    "flash attention": "needs CUDA; the same holds",
    "xformers": "needs CUDA; the same holds",
    "dynamic VRAM": "ComfyUI switches it on for GPUs only",
    "fp8 matrix products (fp8_e4m3fn_fast)": "multiplies in 8 bits on GPUs only; the weights are tested",
    "torch.compile's inductor": "tested with the backend that runs the traced graph as it is: what inductor makes of "
    "it is PyTorch's",
}

INTRODUCTION = (
    "Written by `python -m lumina_next.tests.nodes.write_combinations`; do not edit. Every cell is a sampling in a",
    "real ComfyUI by `tests/nodes/test_matrix.py`, which checks that the result is finite, the same twice, and as the",
    "cell says; that the node still acts in company; and that nothing is left on the model afterwards.",
)


def document(columns: list[Column]) -> str:
    """Return docs/combinations.md."""
    notes: list[str] = []

    def cell(row: str, column: Column) -> str:
        reason = EXCLUDED.get((row, column.name))
        if reason is None:
            return column.outcome
        if reason not in notes:
            notes.append(reason)
        return f"no ({notes.index(reason) + 1})"

    head = ["with", *ROWS, "how it is arranged"]
    table = [head, ["---"] * len(head)]
    table += [[c.name, *(cell(row, c) for row in ROWS), c.how] for c in columns]
    lines = [
        "# What goes together",
        "",
        "Written by `python -m lumina_next.tests.nodes.write_combinations`; do not edit.",
    ]
    lines += [
        "Every cell is a sampling in a real ComfyUI by `tests/nodes/test_matrix.py`, which checks that the result"
    ]
    lines += ["is finite, the same twice, and as the cell says; that the node still acts in company; and that nothing"]
    lines += ["is left on the model afterwards.", ""]
    lines += [f"- **{name}**: {meaning}" for name, meaning in OUTCOMES.items()]
    lines += ["", *("| " + " | ".join(row) + " |" for row in table), ""]
    lines += [f"{i + 1}. {reason[0].upper()}{reason[1:]}." for i, reason in enumerate(notes)]
    lines += ["", "## Not run here", "", *(f"- {name}: {reason}." for name, reason in NOT_RUN.items()), ""]
    return "\n".join(lines)
