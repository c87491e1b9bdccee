"""Next-DiT for points as ComfyUI's own kind of model: a latent is a cloud, (batch, 3, points)."""

from dataclasses import replace

import comfy.latent_formats
import comfy.model_management
import torch
from comfy.patcher_extension import WrappersMP
from torch import Tensor

from ....nextdit.clouds.noise import grained, paired
from ....nextdit.clouds.picture import four_sides
from ....nextdit.clouds.shape import densified, spread, upright
from ....nextdit.models.points import FAMILY, PointNextDiT
from ..host.clouds import FRAME
from ..host.time import flow_time
from ..host.wrappers import replace_wrapper
from .base import OwnConfig, OwnModel, image_model
from .conditioning import text_conds
from .network import OwnNetwork

PROPORTIONAL = "proportional"
WRAPPER = "lumina_next_point_attention"


class Clouds(comfy.latent_formats.LatentFormat):
    """Coordinates as they are."""

    latent_channels = 3
    latent_dimensions = 1


class Network(OwnNetwork, PointNextDiT):
    """PointNextDiT in ComfyUI. A label comes where others have text."""

    family = FAMILY

    def _forward(self, x, timesteps, context, attention_mask, control, transformer_options, **kwargs) -> Tensor:
        call = replace(self.call_for(x, transformer_options, kwargs), proportional=kwargs.get(PROPORTIONAL, False))
        return -self.velocity(x, flow_time(timesteps), context, attention_mask, call)

    def shifted_positions(self, x: Tensor, options: dict | None) -> None:
        if options is not None:
            raise ValueError("points have no positions that ComfyUI's Scale ROPE could move: remove the node")


class LuminaNextPoints(OwnModel):
    """A label or a text to points."""

    network = Network

    def __init__(self, model_config, device=None):
        super().__init__(model_config, device=device)
        config, core = self.diffusion_model.config, type(self.model_sampling)

        class Sampling(core):
            """Core's, with noise that suits clouds."""

            def noise_scaling(self, sigma, noise, latent_image, max_denoise=False) -> Tensor:
                if not latent_image.any():
                    noise = grained(noise, config.train_points)
                elif config.paired:
                    noise = paired(noise, latent_image.expand_as(noise))
                return super().noise_scaling(sigma, noise, latent_image, max_denoise)

        self.model_sampling = Sampling(model_config)

    def extra_conds(self, **kwargs) -> dict:
        return super().extra_conds(**kwargs) | text_conds(*self.text(kwargs))

    def check_width(self, features: Tensor) -> None:
        try:
            super().check_width(features)
        except ValueError as error:
            if not self.diffusion_model.config.labels:
                raise
            raise ValueError(f"{error}: connect Point Label to the sampler, in place of CLIP Text Encode") from error


class LuminaNextPointsConfig(OwnConfig):
    """How ComfyUI builds, saves and sizes a model of points."""

    family, model = FAMILY, LuminaNextPoints
    unet_config = {"image_model": image_model(FAMILY)}
    supported_inference_dtypes = [torch.float32]  # core casts the coordinates too, and 16 bits have too few digits

    def format_of(self, unet_config: dict) -> comfy.latent_formats.LatentFormat:
        return Clouds()


CONFIG = LuminaNextPointsConfig


def network_of(model, node: str) -> Network:
    """Return the network of a MODEL of points. Raises ValueError, naming the node, for any other."""
    network = model.get_model_object("diffusion_model")
    if isinstance(network, Network):
        return network
    raise ValueError(
        f"{node} works with Lumina-Next models of points, but got a {type(model.model).__name__} model; load one with "
        "Load Lumina-Next Model, or remove the node"
    )


def label_conditioning(model, label: str) -> tuple[list, list]:
    """Return CONDITIONING of a label, by name or number, and of none. Raises ValueError if the model has none such."""
    config = network_of(model, "Point Label").config
    shares = torch.zeros(1, 1, len(config.labels) or 1)
    chosen = shares.clone()
    chosen[..., config.label(label)] = 1
    return [[chosen, {}]], [[shares, {}]]


def empty_points(count: int, batch_size: int) -> dict:
    """Return an empty LATENT of clouds of `count` points."""
    return {"samples": torch.zeros(batch_size, 3, count, device=comfy.model_management.intermediate_device())}


def clouds_of(latent: dict) -> list[Tensor]:
    """Return the clouds (N, 3) of a LATENT, on the CPU. Raises ValueError if it holds none."""
    samples = latent["samples"]
    if samples.ndim != 3 or samples.shape[1] != 3:
        raise ValueError(
            f"expected a latent of points, (batch, 3, points), got {tuple(samples.shape)}: connect what a model of "
            "points sampled, Empty Points or Load Points"
        )
    if not samples.numel():
        raise ValueError(f"the latent {tuple(samples.shape)} has no points: make at least one cloud of one point")
    if lost := int((~samples.isfinite()).any(1).sum()):
        raise ValueError(
            f"{lost} of the {samples.shape[0] * samples.shape[2]} points are NaN or infinite: sample them again, with "
            "less guidance or the model in fp32"
        )
    return list(samples.transpose(1, 2).float().cpu())


def with_proportional_attention(model):
    """Return a clone of a MODEL of points whose attention is scaled above the number of points in training."""
    network_of(model, "Point Attention")
    clone = model.clone()

    def ask(executor, *args, **kwargs):
        return executor(*args, **kwargs, **{PROPORTIONAL: True})

    replace_wrapper(clone, WrappersMP.APPLY_MODEL, WRAPPER, ask)
    return clone


def one_cloud(latent: dict, node: str) -> Tensor:
    """Return the cloud (N, 3) of a LATENT of one. Raises ValueError, naming the node, if there are more."""
    clouds = clouds_of(latent)
    if len(clouds) > 1:
        raise ValueError(f"{node} takes one cloud, got {len(clouds)}: choose one with Latent From Batch")
    return clouds[0]


def as_latent(clouds: list[Tensor], latent: dict, **more) -> dict:
    """Return a LATENT of clouds (N, 3) in place of those of another, without that one's mask."""
    kept = {key: value for key, value in latent.items() if key != "noise_mask"}
    device = comfy.model_management.intermediate_device()
    return kept | {"samples": torch.stack([cloud.T for cloud in clouds]).to(device)} | more


def cut(latent: dict, axis: int, start: float, end: float) -> dict:
    """Return a LATENT with the points whose coordinate is between two limits. Raises ValueError if there are none."""
    cloud = one_cloud(latent, "Cut Points")
    kept = cloud[(cloud[:, axis] >= start) & (cloud[:, axis] <= end)]
    if not len(kept):
        low, high = float(cloud[:, axis].min()), float(cloud[:, axis].max())
        raise ValueError(
            f"no point lies from {start:g} to {end:g}; along this axis the cloud goes from {low:.2f} to {high:.2f}"
        )
    return as_latent([kept], latent)


def completed(latent: dict, count: int) -> dict:
    """Return a LATENT of `count` points whose first stay those of another: the mask is for what the sampler makes.

    Raises ValueError if there are as many or more already.
    """
    clouds = clouds_of(latent)
    given = len(clouds[0])
    if given >= count:
        raise ValueError(f"the cloud has {given} points already: set count of Complete Points to more than that")
    generator = torch.Generator().manual_seed(0)
    mask = (torch.arange(count) >= given).float().expand(len(clouds), 1, -1)
    return as_latent([densified(cloud, count, generator) for cloud in clouds], latent, noise_mask=mask)


def thinned(latent: dict, count: int) -> dict:
    """Return a LATENT with the `count` points of each cloud that lie farthest apart. Raises ValueError as `spread`."""
    return as_latent([cloud[spread(cloud, count)] for cloud in clouds_of(latent)], latent)


def drawn(latent: dict, size: int) -> Tensor:
    """Return an IMAGE of the clouds of a LATENT from four sides, one a cloud."""
    return torch.stack([four_sides(cloud, size) for cloud in clouds_of(latent)]).float() / 255


def placed(latent: dict, up: str) -> list[Tensor]:
    """Return the clouds (N, 3) of a LATENT where a loaded one lay, or else with `up` up."""
    frame = latent.get(FRAME)
    return [frame.restored(cloud) if frame else upright(cloud, up) for cloud in clouds_of(latent)]
