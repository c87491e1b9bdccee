"""Visual anagrams: one latent, seen in several ways, each with a prompt of its own, behind ComfyUI's guider door."""

from collections.abc import Callable
from dataclasses import dataclass

import comfy.samplers
import torch
from torch import Tensor

AXES = (-2, -1)
Turn = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class View:
    """A way to look at a latent (…, H, W), and the way back; `swaps` tells whether height becomes width."""

    see: Turn
    back: Turn
    swaps: bool = False


def _rotation(quarters: int) -> View:
    return View(
        lambda x: torch.rot90(x, -quarters, AXES), lambda x: torch.rot90(x, quarters, AXES), swaps=quarters % 2 == 1
    )


def _flip(axis: int) -> View:
    return View(lambda x: x.flip(axis), lambda x: x.flip(axis))


VIEWS = {
    "identity": View(lambda x: x, lambda x: x),
    "flip_horizontal": _flip(-1),
    "flip_vertical": _flip(-2),
    "rotate_90": _rotation(1),
    "rotate_180": _rotation(2),
    "rotate_270": _rotation(3),
}
"""What is done to the picture to see its prompt; rotations are clockwise."""


class AnagramGuider(comfy.samplers.CFGGuider):
    """Averages the guided predictions of all views, each turned back, in every call (the official repository's rule).

    At one sigma denoised is x − sigma · output for every view, so that averaging it averages velocities.
    """

    def set_views(self, views: list[tuple[str, list]], negative: list) -> None:
        """Set pairs of a name of VIEWS and a CONDITIONING; all share the negative."""
        self.views = [VIEWS[name] for name, _ in views]
        conds = {f"positive_{i}": positive for i, (_, positive) in enumerate(views)}
        # each view gets conds of its own: caching nodes tell passes of the model apart by them
        self.inner_set_conds(conds | {f"negative_{i}": negative for i in range(len(views))})
        for name, conds in self.original_conds.items():  # by which models tell positive from negative
            for cond in conds:
                cond.setdefault("prompt_type", name.partition("_")[0])

    def inner_sample(self, noise, *args, **kwargs):
        height, width = noise.shape[-2:]
        if any(view.swaps for view in self.views) and height != width:
            raise ValueError(
                f"rotations by 90° and 270° need a square latent, and this one is {width}×{height}; make it square, or "
                "use flips and rotate_180"
            )
        if getattr(self.inner_model, "concat_keys", ()):
            raise ValueError(
                "this model takes a picture beside the latent (an inpainting or editing model), which every view would "
                "have to turn as well; use a plain text-to-image model"
            )
        return super().inner_sample(noise, *args, **kwargs)

    def predict_noise(self, x, timestep, model_options={}, seed=None):  # noqa: B006 - ComfyUI's signature
        mean = None
        for i, view in enumerate(self.views):
            negative, positive = self.conds[f"negative_{i}"], self.conds[f"positive_{i}"]
            seen = comfy.samplers.sampling_function(
                self.inner_model, view.see(x), timestep, negative, positive, self.cfg, model_options, seed=seed
            )
            turned = view.back(seen)
            # a running mean: equal predictions give exactly themselves
            mean = turned if mean is None else mean + (turned - mean) / (i + 1)
        return mean


def anagram_guider(model, views: list[tuple[str, list]], negative: list, cfg: float) -> AnagramGuider:
    """Return a GUIDER for pairs of a name of VIEWS and a CONDITIONING; `cfg` guides every view."""
    guider = AnagramGuider(model)
    guider.set_views(views, negative)
    guider.set_cfg(cfg)
    return guider
