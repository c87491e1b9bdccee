"""Our nodes (rows) with what ComfyUI users combine them with (columns): a table that tests run and docs print.

`python -m lumina_next.tests.nodes.write_combinations` writes docs/combinations.md anew.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import comfy.samplers
import torch

from lumina_next.nextdit import ContextDrop, MultiViewNextDiT
from lumina_next.nextdit.layers.rope_scaling import TIME_AWARE_LATE
from lumina_next.nextdit.models.multiview import MultiViewConfig
from lumina_next.nodes.adapter.models.multiview import LuminaNextMultiView
from lumina_next.nodes.adapter.models.views import with_views
from lumina_next.nodes.adapter.patches.context_drop import drop_context
from lumina_next.nodes.adapter.patches.regions import add_region
from lumina_next.nodes.adapter.patches.scaled_rope import scale_rope
from lumina_next.nodes.adapter.sampling.anagram import anagram_guider
from lumina_next.nodes.adapter.sampling.guidance import guide_channels
from lumina_next.nodes.adapter.sampling.schedules import schedule_sigmas
from lumina_next.nodes.adapter.sampling.solvers import solver_sampler

from .patch_models import OWN, load_own, prompt

DOC = Path(__file__).parents[2] / "docs/combinations.md"
SIZE, STEPS = (24, 24), 4
AZIMUTHS = (0.0, 120.0, 240.0)
CONFIG = replace(OWN, n_layers=2)  # few, as every cell samples several times


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
    views: int = 1  # pictures that belong together, of which a batch has several sets
    condition: Callable[[list], list] = staticmethod(
        lambda conditioning: conditioning
    )  # what every prompt goes through

    def run(self) -> torch.Tensor:
        """Sample from fixed noise; the first noise of a batch is that of a single picture, or set of views."""
        shape = (self.batch * self.views, self.model.get_model_object("latent_format").latent_channels, *SIZE)
        noise = torch.randn(shape, generator=torch.Generator().manual_seed(7))
        return self.go_on(noise, torch.zeros(shape) if self.mask is None else torch.full(shape, 0.3))

    def go_on(self, noise: torch.Tensor, latent: torch.Tensor) -> torch.Tensor:
        """Sample from this noise on this latent."""
        guider = (self.guider or cfg_guider)(self)
        return guider.sample(
            noise, latent, self.sampler, self.sigmas, denoise_mask=self.mask, seed=7, disable_pbar=True
        )


def cfg_guider(setup: Setup) -> comfy.samplers.CFGGuider:
    """Return the guider that KSampler uses too."""
    guider = comfy.samplers.CFGGuider(setup.model)
    guider.set_conds(setup.positive, setup.negative)
    guider.set_cfg(setup.cfg)
    return guider


def load(**_):
    """Return the small random MODEL that cells sample; ignores how a caller wants it loaded."""
    return load_own(CONFIG)


def load_multiview(**_):
    """Return the small random MODEL for several views, as `load` does."""
    return load_own(MultiViewConfig.of(CONFIG), network=MultiViewNextDiT)


def loader_of(model) -> Callable:
    """Return which of the two makes a MODEL anew."""
    return load_multiview if isinstance(model.model, LuminaNextMultiView) else load


@cache
def multiview_model():
    """One model for all cells of its row, so that what a cell leaves behind shows in the next."""
    return load_multiview()


def plain(model) -> Setup:
    """Return the sampling without any node of ours but the loader."""
    sigmas = comfy.samplers.calculate_sigmas(model.get_model_object("model_sampling"), "simple", STEPS)
    return Setup(model, comfy.samplers.sampler_object("euler"), sigmas, prompt(6), prompt(3, 1))


def _flow(setup: Setup) -> Setup:
    sigmas = schedule_sigmas("rational", STEPS, alpha=4.0)
    return replace(setup, sampler=solver_sampler("midpoint"), sigmas=sigmas)


def _regions(setup: Setup) -> Setup:
    left, right = torch.zeros(1, *SIZE), torch.zeros(1, *SIZE)
    left[..., : SIZE[1] // 2] = 1.0
    right[..., SIZE[1] // 3 :] = 0.5  # overlaps, and leaves some to the global prompt
    settings = {"strength": 1.0, "global_weight": 0.0, "start_percent": 0.0, "end_percent": 1.0}
    positive = add_region(setup.positive, prompt(3, 2), left, False, **settings)
    return replace(setup, positive=add_region(positive, prompt(5, 3), right, False, **settings))


def _views(setup: Setup) -> Setup:
    image = torch.randn(1, 4, *SIZE, generator=torch.Generator().manual_seed(3))
    return replace(
        setup,
        model=multiview_model(),
        positive=with_views(setup.positive, AZIMUTHS, image),
        negative=with_views(setup.negative, AZIMUTHS),
        views=len(AZIMUTHS),
        condition=lambda conditioning: with_views(conditioning, AZIMUTHS, image),
    )


def _anagram(setup: Setup):
    views = [("identity", setup.positive), ("rotate_90", prompt(6, 3))]
    return anagram_guider(setup.model, views, setup.negative, setup.cfg)


def patching(patch: Callable) -> Callable[[Setup], Setup]:
    """Return what applies a model patch to a setup."""
    return lambda setup: replace(setup, model=patch(setup.model))


ROWS: dict[str, Callable[[Setup], Setup]] = {
    "Load Lumina-Next Model": lambda setup: setup,
    "Scaled RoPE": patching(lambda model: scale_rope(model, TIME_AWARE_LATE, 128)[0]),
    "Context Drop": patching(lambda model: drop_context(model, ContextDrop(2, "none"))),
    "Flow Schedule, Flow Sampler": _flow,
    "Channel Guidance": patching(lambda model: guide_channels(model, 2)),
    "Regional Prompt": _regions,
    "Visual Anagram": lambda setup: replace(setup, guider=_anagram),
    "Multi-View Conditioning": _views,
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
    ("Visual Anagram", "Perp-Neg Guider"): "each is a guider, and a sampler takes one",
}
# What stops with an error of ComfyUI's own.
STOPS = {
    ("Multi-View Conditioning", "RenormCFG"): "that node of ComfyUI's takes one picture at a time, and the views are a "
    "batch: it stops with an error; RescaleCFG takes batches",
}
# What to mind where both act.
REMARKS = {
    ("Visual Anagram", "APG"): "its momentum carries the guidance of one view into the next: leave it at 0, the "
    "node's default, where views are to be independent",
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

INTRODUCTION = """\
# What goes together

Written by `python -m lumina_next.tests.nodes.write_combinations`; do not edit.
Every cell is a sampling in a real ComfyUI by `tests/nodes/model/test_matrix.py`, which checks that the result
is finite, the same twice, and as the cell says; that the node still acts in company; and that nothing
is left on the model afterwards.
"""


def document(columns: list[Column]) -> str:
    """Return docs/combinations.md."""
    notes: list[str] = []

    def cell(row: str, column: Column) -> str:
        place = (row, column.name)
        note = (EXCLUDED | STOPS | REMARKS).get(place)
        if note is None:
            return column.outcome
        if note not in notes:
            notes.append(note)
        return f"{column.outcome if place in REMARKS else 'no'} ({notes.index(note) + 1})"

    head = ["with", *ROWS, "how it is arranged"]
    table = [head, ["---"] * len(head)]
    table += [[c.name, *(cell(row, c) for row in ROWS), c.how] for c in columns]
    lines = [INTRODUCTION]
    lines += [f"- **{name}**: {meaning}" for name, meaning in OUTCOMES.items()]
    lines += ["", *("| " + " | ".join(row) + " |" for row in table), ""]
    lines += [f"{i + 1}. {note[0].upper()}{note[1:]}." for i, note in enumerate(notes)]
    lines += ["", "## Not run here", "", *(f"- {name}: {reason}." for name, reason in NOT_RUN.items()), ""]
    return "\n".join(lines)
