"""A flow's path measured through a GUIDER, as a sampler sees it."""

import comfy.sample
import comfy.samplers
import comfy.utils
import torch
from comfy.k_diffusion.sampling import trange

from ...samplers import Path, measured_times, probe, probe_times, proposals, stages
from .sampling import FlowVelocity, require_flow, solver_sampler

WHAT = "Measured Schedule"
PROBE_METHOD = "midpoint"  # two evaluations a probe step, none of them at sigma 0


class Measurement:
    """A flow as SamplerCustomAdvanced's noise, guider and latent make it, measured over `samples` noises one by one.

    `path` is the flow's path from sigma `denoise` to 0 and `evaluations` what has been spent: 2 `probes` a sample, and
    then what `sigmas` tries out. Of a batch the first latent counts. Raises ValueError for a model that is no flow
    model.
    """

    def __init__(self, noise, guider, latent: dict, probes: int, samples: int, denoise: float):
        require_flow(guider.model_patcher.get_model_object("model_sampling"), WHAT)
        self.guider, self.seed, self.mask = guider, noise.seed, latent.get("noise_mask")
        self.start = prepare(guider, latent, samples)
        self.noises = noise.generate_noise(self.start)
        self.denoise, self.evaluations = denoise, 0
        self.bar = comfy.utils.ProgressBar(2 * probes * samples)
        paths: list[Path] = []
        sampler = comfy.samplers.KSAMPLER(sample_probe, extra_options={"paths": paths})
        self.end = self.run(sampler, self.descending(probe_times(probes, 1.0 - denoise)), 2)
        self.path = paths[0]
        for path in paths[1:]:
            self.path = self.path.join(path)

    def descending(self, times: torch.Tensor) -> torch.Tensor:
        """Return times as SIGMAS (steps + 1,) float32, the ends exact."""
        sigmas = (1.0 - times.double()).float()
        sigmas[0], sigmas[-1] = self.denoise, 0.0
        return sigmas

    def run(self, sampler, sigmas: torch.Tensor, cost: int) -> torch.Tensor:
        """Return what every noise becomes, (samples, ...), at `cost` evaluations a step."""

        def callback(step, x0, x, total):
            self.evaluations += cost
            self.bar.update_absolute(self.evaluations)

        options = {"denoise_mask": self.mask, "callback": callback, "seed": self.seed}
        options["disable_pbar"] = not comfy.utils.PROGRESS_BAR_ENABLED
        pairs = zip(self.noises.split(1), self.start["samples"].split(1), strict=True)
        return torch.cat([self.guider.sample(noise, start, sampler, sigmas, **options) for noise, start in pairs])

    def sigmas(self, steps: int, method: str) -> torch.Tensor:
        """Return the schedule of `steps` steps for `method`, as SIGMAS: (steps + 1,) float32, descending to exactly 0.

        Tries out up to five schedules where the path is fine enough to judge them (`samplers.proposals`).
        """
        cost, sampler = stages(method), solver_sampler(method)
        self.bar.total += cost * steps * len(self.noises) * len(proposals(self.path, steps, method))
        times = measured_times(
            self.path, self.end, lambda times: self.run(sampler, self.descending(times), cost), steps, method
        )
        return self.descending(times)


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

        path, x = probe(watched, x, times, PROBE_METHOD)
    paths.append(path)
    return x


def as_text(sigmas: torch.Tensor) -> str:
    """Return sigmas as ComfyUI's ManualSigmas reads them: decimals without exponents, six digits."""
    return ", ".join(f"{float(s):.6f}" for s in sigmas)
