"""Runs of flow models that begin on an even colour, another one for each seed, in place of pure noise."""

import torch
from comfy.model_sampling import CONST
from comfy.patcher_extension import WrappersMP

from ....samplers.variety import colours_of
from ..host.wrappers import replace_wrapper

WRAPPER = "lumina_next_seed_variety"
ALMOST_NOISE = 0.999
"""The sigma from which a run counts as one from pure noise."""


def vary_seeds(model, strength: float):
    """Return a clone of a MODEL whose runs from pure noise begin at t = `strength`, on a colour of each seed's own.

    A second patch replaces the first, 0 undoes it. Raises ValueError for a model that is no flow.
    """
    if not isinstance(model.get_model_object("model_sampling"), CONST):
        raise ValueError(
            f"expected a flow model, such as Z-Image, FLUX or Lumina, got a {type(model.model).__name__} model; "
            "remove Seed Variety"
        )
    patched = model.clone()
    if strength == 0:
        patched.remove_wrappers_with_key(WrappersMP.OUTER_SAMPLE, WRAPPER)
        return patched

    def on_colours(executor, noise, latent_image, sampler, sigmas, *args, latent_shapes=(), **kwargs):
        kwargs |= {"latent_shapes": latent_shapes} if latent_shapes else {}  # which older releases do not have
        image = latent_image is not None and bool(torch.count_nonzero(latent_image))
        from_noise = len(sigmas) > 1 and float(sigmas[0]) > ALMOST_NOISE and not image
        lower = squeezed(sigmas, strength) if from_noise else None
        if lower is not None and len(latent_shapes) < 2:  # several latents are one flat row, which has no channels
            # the sampler takes 1 - strength of it, as of any noise at the first sigma
            noise = noise + strength / (1 - strength) * colours_of(noise)
            sigmas = lower
        return executor(noise, latent_image, sampler, sigmas, *args, **kwargs)

    replace_wrapper(patched, WrappersMP.OUTER_SAMPLE, WRAPPER, on_colours)
    return patched


def squeezed(sigmas: torch.Tensor, strength: float) -> torch.Tensor | None:
    """Return sigmas (n,) from 1 - strength of the first to the same end, None if they end before that.

    A run that leaves noise for another one so ends where that one begins.
    """
    first, last = float(sigmas[0]), float(sigmas[-1])
    start = (1 - strength) * first
    return None if start <= last else last + (sigmas - last) * ((start - last) / (first - last))
