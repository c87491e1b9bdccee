"""A stretch of one AUDIO in another, whatever their rates and channels."""

import torch

from ....nextdit.encoders.audio.splice import FADE, splice
from .time_mask import check_times
from .vae import resampled

QUIET = 1e-4
"""Root mean square below which a sound is silence, and says nothing of loudness."""
LOUDEST = 10.0
"""How many times as loud a sound is made at most."""


def splice_audio(original: dict, changed: dict, start: float, end: float, fade: float = FADE) -> tuple[dict, str]:
    """Return an AUDIO as the original is, but from start to `end` seconds as the changed one, and what to tell.

    An `end` of 0 is that of the changed one. It is brought to the original's rate, channels and loudness. Raises
    ValueError for a stretch that has nothing in it.
    """
    check_times(start, end)
    for name, sound in (("original", original), ("changed", changed)):
        if sound is None or not sound["waveform"].numel():
            raise ValueError(f"{name} has no sound in it: a silent video, or an empty recording; connect another")
    rate, own = original["sample_rate"], original["waveform"]
    made = resampled(changed["waveform"].to(own), changed["sample_rate"], rate)
    seconds = made.shape[-1] / rate
    stop = min(end or seconds, seconds)
    if start >= seconds:
        raise ValueError(f"start is {start:g} s, but the changed sound is {seconds:.2f} s long: set it to less")
    if stop <= start:
        raise ValueError(f"end is {end:g} s, not after start, {start:g} s: set it to more, or to 0 for the end")
    made = made.mean(1, keepdim=True) if made.shape[1] not in (1, own.shape[1]) else made
    made = made.expand(-1, own.shape[1], -1)
    count = max(len(own), len(made))
    own, made = (sound[torch.arange(count) % len(sound)] for sound in (own, made))  # as core repeats what is fewer
    made = made * loudness(own, made, rate, start, stop)
    joined = splice(own, made, rate, start, stop, fade)
    told = f"{start:.2f} to {stop:.2f} s of {joined.shape[-1] / rate:.2f} s are from the changed sound"
    return {"waveform": joined, "sample_rate": rate}, told


def loudness(own: torch.Tensor, made: torch.Tensor, rate: int, start: float, stop: float) -> float:
    """Return by what to multiply `made` to be as loud as `own` where both should be the same, 1 where that is silent.

    VAE Decode Audio makes what is too loud quieter, all of it, and nothing louder.
    """
    length = min(own.shape[-1], made.shape[-1])
    kept = torch.ones(length, dtype=torch.bool, device=own.device)
    kept[round(start * rate) : round(stop * rate)] = False
    if not kept.any():
        return 1.0
    before, after = (float(sound[..., :length][..., kept].square().mean().sqrt()) for sound in (own, made))
    return min(max(before / after, 1.0), LOUDEST) if min(before, after) > QUIET else 1.0
