"""Scaled RoPE as a patch on a MODEL: the size is taken from every call's latent, the time from its sigma."""

import logging
import math
from collections.abc import Callable
from dataclasses import dataclass, replace

from comfy.patcher_extension import WrappersMP
from torch import Tensor

from ....nextdit.layers.rope import Axes
from ....nextdit.layers.rope_scaling import RopeScaling
from ....nextdit.train_size import NativeSize
from ...drawing.wavelengths import draw_wavelengths
from ..host.progress import running_node, say
from ..host.wrappers import replace_wrapper, token_grid
from ..models.network import OwnNetwork
from ..models.pixels import Pixels
from ..models.train_size import family_key, latent_tokens, native_size_of, token_pixels
from .patchable import core_family, network_of

WRAPPER = "lumina_next_scaled_rope"


@dataclass(frozen=True)
class Settings:
    """What the node is set to, before the size is known; `train_tokens` and `any_aspect` are the model's NativeSize.

    `train_frames` are those of a clip in training, 0 for models of pictures and where it is not known.
    """

    method: str
    train_tokens: int
    per_axis: bool = False
    watershed: float = 0.3
    proportional: bool = False
    return_from: float = RopeScaling.return_from
    return_to: float = RopeScaling.return_to
    any_aspect: bool = False
    why: str = ""  # this method, where `auto` chose it
    train_frames: int = 0

    def at(self, grid: tuple[int, int], frames: int = 1) -> RopeScaling | None:
        """Return the scaling for frames on a grid of (rows, columns) tokens, None within the native size and length."""
        factor = NativeSize(self.train_tokens, self.any_aspect).factor(grid, self.per_axis)
        longer = max(1.0, frames / self.train_frames) if self.train_frames else 1.0
        if factor is None and longer == 1.0:
            return None
        # with fewer tokens than in training (a factor per axis can have that) it would blur attention, not sharpen it
        proportional = self.proportional and math.prod(grid) > self.train_tokens**2
        return self.scaling(factor or 1.0, proportional, longer)

    def grid(self, x: Tensor, patch_size: int) -> tuple[int, int]:
        """Return the rows and columns of tokens of a latent."""
        return token_grid(x, patch_size)

    def words(self, grid: tuple[int, int], width: int, frames: int = 1) -> str:
        """Say in a line what becomes of frames on a grid of tokens `width` pixels wide."""
        return describe(self, grid, width, frames)

    def scaling(
        self, factor: float | tuple[float, ...], proportional: bool = False, longer: float = 1.0
    ) -> RopeScaling:
        """Return the scaling of a factor, for clips so many times longer than in training."""
        times = {"watershed": self.watershed, "return_from": self.return_from, "return_to": self.return_to}
        clips = {"frames": longer, "train_frames": self.train_frames} if longer > 1.0 else {}
        return RopeScaling(self.method, factor, self.train_tokens, proportional=proportional, **times, **clips)


@dataclass(frozen=True)
class TimeSettings(Settings):
    """Settings for audio, whose tokens follow each other in time, each of so many `seconds`."""

    seconds: float = 1.0

    def at(self, grid: tuple[int, int], frames: int = 1) -> RopeScaling | None:
        factor = math.prod(grid) / self.train_tokens
        return self.scaling(factor, self.proportional) if factor > 1 else None

    def grid(self, x: Tensor, patch_size: int) -> tuple[int, int]:
        return 1, math.ceil(x.shape[-1] / patch_size)

    def words(self, grid: tuple[int, int], width: int, frames: int = 1) -> str:
        length, native = (f"{tokens * self.seconds:.1f} s" for tokens in (math.prod(grid), self.train_tokens))
        rope = self.at(grid)
        if rope is None:
            return f"{length} is within the {native} of the model's training: nothing changes"
        how = f"auto: {rope.method}, {self.why}" if self.why else rope.method
        return f"{length} is {rope.factor:.3g} times the {native} of the model's training: {how}"


def scale_rope(model, method: str, train_size: int = 0, **options):
    """Return a clone of a MODEL whose RoPE is scaled past its native size, and the Settings.

    `train_size` in pixels, 0 for the model's own; `options` are the rest of Settings. A second patch replaces the
    first. Raises ValueError for models that cannot be hooked, unknown training sizes and values out of range.
    """
    network = stretchable(model)
    if is_of_time(network):
        settings: Settings = time_settings(network, method, train_size, **options)
    else:
        native = native_size_of(model, network, train_size)
        frames = (network.train_frames or 0) if isinstance(network, OwnNetwork) else 0
        settings = Settings(method, native.tokens, any_aspect=native.any_aspect, train_frames=frames, **options)
    asked = settings.proportional
    chosen, choice = settings.scaling(1.0, asked).resolved(family_key(model, network))  # refuses now
    if choice is not None:
        told: dict = {"method": chosen.method, "watershed": chosen.watershed, "proportional": chosen.proportional}
        why = choice.why
        if chosen.proportional and not asked and not sharpens(network):
            told["proportional"], why = False, f"{why}, which this ComfyUI is too old for: without it"
        settings = replace(settings, **told, why=why)
    if settings.per_axis and isinstance(network, OwnNetwork) and network.axes.in_line:
        raise ValueError(
            "this model counts its patches in one line, row after row, so it has no positions to scale per axis: "
            "turn per_axis off"
        )
    patched = model.clone()
    node = running_node()
    tell = _tell_once(settings, token_pixels(model, network), node)
    if isinstance(network, OwnNetwork):
        replace_wrapper(patched, WrappersMP.APPLY_MODEL, WRAPPER, _argument(settings, network.patch_size, tell))
        latents = model.get_model_object("latent_format")
        if isinstance(latents, Pixels):
            patched.add_object_patch("latent_format", latents.of_any_size())
    else:
        from ..host.core_rope import patch_core

        patch_core(patched, network, core_family(network), settings, WRAPPER, tell, None if asked else _warn_once(node))
    return patched, settings


def sharpens(network) -> bool:
    """Tell whether a network can have proportional attention, which takes a ComfyUI that tells which layer attends."""
    if isinstance(network, OwnNetwork):
        return True
    from ..host.core_attention import reaches_main_layers

    return reaches_main_layers(core_family(network))


def stretchable(model):
    """Return the network of a MODEL whose RoPE can be scaled. Raises ValueError for any other."""
    network = model.get_model_object("diffusion_model")
    return network if is_of_time(network) else network_of(model, "Scaled RoPE")


def is_of_time(network) -> bool:
    """Tell whether a network's positions count time and nothing else: audio."""
    return isinstance(network, OwnNetwork) and getattr(network, "axes", None) is not None and network.axes.of_time


def time_settings(network, method: str, train_size: int, per_axis: bool = False, **options) -> TimeSettings:
    """Return the settings for a network of audio. Raises ValueError for what only pictures have."""
    if train_size or per_axis:
        what = "train_size, which is in pixels: set it to 0" if train_size else "per_axis: choose area"
        raise ValueError(f"audio has a length and no {what}; the model knows the length of its training")
    config = network.config
    return TimeSettings(method, config.train_tokens, seconds=config.patch_size / config.frame_rate, **options)


def draw_readout(model, settings: Settings, latent: dict | None = None) -> Tensor:
    """Return the picture of the frequencies for a LATENT, or for twice the native size without one, as an IMAGE."""
    twice = 2 * settings.train_tokens
    network = stretchable(model)
    tokens, note = (1 if is_of_time(network) else twice, twice), "without a latent"
    if latent is not None:
        of = time_tokens if is_of_time(network) else latent_tokens
        tokens, note = of(model, network, latent), "this latent"
    rope = settings.at(tokens) or settings.scaling(1.0)
    return draw_wavelengths(rope, _axes(model, network), tokens, note)


def time_tokens(model, network, latent: dict) -> tuple[int, int]:
    """Return the tokens that a LATENT of audio will have in a model, as one row."""
    own = model.get_model_object("latent_format").temporal_downscale_ratio
    frames = round(latent["samples"].shape[-1] * (latent.get("downscale_ratio_temporal") or own) / own)
    return 1, math.ceil(frames / network.patch_size)


def _axes(model, network) -> Axes:
    if isinstance(network, OwnNetwork):
        return network.axes
    from ..host.core_rope import axes_of, plain_embedder

    return axes_of(plain_embedder(model, core_family(network)))


def _argument(settings: Settings, patch_size: int, tell: Callable[..., None]):
    def hand_over(executor, x, t, *args, **kwargs):
        grid, frames = settings.grid(x, patch_size), x.shape[2] if x.ndim == 5 else 1
        tell(grid, frames)
        rope = settings.at(grid, frames)
        return executor(x, t, *args, **(kwargs if rope is None else kwargs | {"rope": rope}))

    return hand_over


def _tell_once(settings: Settings, width: int, node: str | None) -> Callable[..., None]:
    """Return what says on the node, for a grid of tokens `width` pixels wide that is new, what is done about it."""
    described: set[tuple[tuple[int, int], int]] = set()

    def tell(grid: tuple[int, int], frames: int = 1) -> None:
        if (grid, frames) not in described:
            described.add((grid, frames))
            say(node, settings.words(grid, width, frames))

    return tell


def _warn_once(node: str | None) -> Callable[[str], None]:
    """Return what says on the node, and in the log, why a model runs without what `auto` would have given it."""
    said: set[str] = set()

    def warn(text: str) -> None:
        if text not in said:
            said.add(text)
            logging.warning("Scaled RoPE goes on without: %s", text)
            say(node, f"auto goes on without: {text}")

    return warn


def describe(settings: Settings, grid: tuple[int, int], width: int, frames: int = 1) -> str:
    """Say in a line what becomes of an image, or of frames, on a grid of (rows, columns) tokens `width` pixels wide."""
    rows, columns = grid
    if settings.train_frames and frames > settings.train_frames:
        return describe_clip(settings, grid, width, frames)
    side = settings.train_tokens * width
    image, native = f"{columns * width} × {rows * width}", f"{side} × {side}"
    rope = settings.at(grid)
    if rope is None:
        aspect = " in area" if settings.any_aspect else ""
        return f"{image} is within the model's native size (up to {native}{aspect}): nothing changes"
    factors = reversed(rope.factor) if isinstance(rope.factor, tuple) else (rope.factor,)
    times = " × ".join(f"{factor:.3g}" for factor in factors)
    how = f"auto: {rope.method}, {settings.why}" if settings.why else rope.method
    return f"{image} is {times} times the native {native}: {how}"


def describe_clip(settings: Settings, grid: tuple[int, int], width: int, frames: int) -> str:
    """Say in a line what becomes of a clip with more frames than in training."""
    space = settings.at(grid)
    times = "" if space is None else f", {grid[1] * width} × {grid[0] * width} is past the native size too"
    how = f"auto: {settings.method}, {settings.why}" if settings.why else settings.method
    longer = f"{frames / settings.train_frames:.3g} times the native {settings.train_frames}"
    return f"{frames} frames are {longer}{times}: {how}"
