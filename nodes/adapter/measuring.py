"""A flow's path measured through a GUIDER, as a sampler sees it."""

import comfy.sample
import comfy.samplers
import comfy.utils
import torch
from comfy.k_diffusion.sampling import trange

from ...samplers import Path, measured_times, probe, probe_times
from .sampling import FlowVelocity, require_flow

WHAT = "Measured Schedule"
PROBE_METHOD = "midpoint"  # two evaluations a probe step, none of them at sigma 0


def measure(noise, guider, latent: dict, probes: int, samples: int, denoise: float) -> Path:
    """Return the path of `guider`'s flow from sigma `denoise` to 0, over `samples` noises, one after the other.

    Noise, guider and latent are what SamplerCustomAdvanced takes; of a batch the first latent counts. Costs 2 `probes`
    model evaluations a sample. Raises ValueError for a model that is no flow model.
    """
    require_flow(guider.model_patcher.get_model_object("model_sampling"), WHAT)
    start = prepare(guider, latent, samples)
    noises = noise.generate_noise(start)
    sigmas = (1.0 - probe_times(probes, 1.0 - denoise)).float()
    sigmas[0], sigmas[-1] = denoise, 0.0
    bar, paths = comfy.utils.ProgressBar(probes * samples), []
    for i in range(samples):
        sampler = comfy.samplers.KSAMPLER(sample_probe, extra_options={"paths": paths})
        guider.sample(
            noises[i : i + 1],
            start["samples"][i : i + 1],
            sampler,
            sigmas,
            denoise_mask=latent.get("noise_mask"),
            callback=lambda step, x0, x, total, i=i: bar.update_absolute(i * total + step + 1),
            disable_pbar=not comfy.utils.PROGRESS_BAR_ENABLED,
            seed=noise.seed,
        )
    whole = paths[0]
    for path in paths[1:]:
        whole = whole.join(path)
    return whole


def prepare(guider, latent: dict, samples: int) -> dict:
    """Return the first latent of a batch repeated `samples` times; ValueError for nested latents (video with sound)."""
    if getattr(latent["samples"], "is_nested", False):
        raise ValueError(f"{WHAT} cannot measure latents of several parts (video with sound). Use Flow Schedule.")
    first = comfy.sample.fix_empty_latent_channels(guider.model_patcher, latent["samples"][:1])
    return {"samples": first.repeat(samples, *[1] * (first.ndim - 1))}


@torch.no_grad()
def sample_probe(model, x, sigmas, extra_args=None, callback=None, disable=None, paths=None):
    """Follow the flow along sigmas as a k-diffusion sampler function, and append its path to `paths`."""
    velocity, times = FlowVelocity(model, extra_args), 1.0 - sigmas.to("cpu", torch.float64)
    with trange(len(sigmas) - 1, disable=disable) as progress:

        def watched(x, t):
            v = velocity(x, t)
            if velocity.evaluations % 2 == 0:
                i = velocity.evaluations // 2 - 1
                if callback is not None:
                    callback({"x": x, "i": i, "sigma": sigmas[i], "sigma_hat": sigmas[i], "denoised": x + (1 - t) * v})
                progress.update()
            return v

        paths.append(probe(watched, x, times, PROBE_METHOD))
    return x


def measured_sigmas(path: Path, steps: int, method: str) -> torch.Tensor:
    """Return the n-step schedule that the path asks for as SIGMAS: (steps + 1,) float32, descending to exactly 0."""
    return 1.0 - measured_times(path, steps, method)


def as_text(sigmas: torch.Tensor) -> str:
    """Return sigmas as ComfyUI's ManualSigmas reads them: decimals without exponents, six digits."""
    return ", ".join(f"{float(s):.6f}" for s in sigmas)
