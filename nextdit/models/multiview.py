"""MV-Next-DiT: several views of one object at once, from a text, an image or both (paper section 5.1)."""

from collections.abc import Mapping
from dataclasses import dataclass, fields

import torch
from torch import Tensor, nn

from ..call import PLAIN_CALL, Call
from ..config import NextDiTConfig
from ..context_drop import ContextDrop
from ..family import Family, Shapes
from ..infer import infer_config
from ..keys import layouts, reference_key
from ..layers.attend import Attend
from ..layers.embedders import AzimuthEmbedder
from ..layers.rope import Axes
from ..layers.rope_scaling import RopeScaling
from ..layers.tokens import known_mask
from ..trunk import Trunk
from .image import NextDiT

ROPE_AXES = (2, 3)


def fold_frames(x: Tensor, frames: int) -> Tensor:
    """Cut sequences of all frames' tokens (B, H, frames·N, D) into those of each frame, (B·frames, H, N, D)."""
    return x.unflatten(2, (frames, -1)).transpose(1, 2).flatten(0, 1)


def join_frames(x: Tensor, frames: int) -> Tensor:
    """Undo `fold_frames`: (B·frames, H, N, D) → (B, H, frames·N, D), without a copy where heads are innermost."""
    return x.unflatten(0, (-1, frames)).transpose(1, 2).flatten(2, 3)


def across_frames(attend: Attend, frames: int) -> Attend:
    """Return `attend` for queries (B·frames, H, N, D) that attend over the tokens of all frames of their set.

    Keys and values are (B·frames, H_kv, M, D), or already one set's, (B, H_kv, L, D), as a text's are.
    """

    def joint(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None) -> Tensor:
        if len(k) == len(q):
            k, v = join_frames(k, frames), join_frames(v, frames)
        return fold_frames(attend(join_frames(q, frames), k, v, mask), frames)

    return attend if frames == 1 else joint


@dataclass(frozen=True)
class MultiViewConfig(NextDiTConfig):
    """Architecture of a multi-view Next-DiT: a text-to-image one's, and how many axes its RoPE has.

    `rope_axes` 2 gives all frames the same positions, those of a text-to-image model; 3 adds the frame's number as the
    first axis, for which head_dim has to be divisible by 6. Raises ValueError on another number, and as NextDiTConfig.
    """

    rope_axes: int = 2

    def __post_init__(self):
        super().__post_init__()
        if self.rope_axes not in ROPE_AXES:
            raise ValueError(f"rope_axes must be 2 (row, column) or 3 (frame, row, column), got {self.rope_axes!r}")
        if self.head_dim % (2 * self.rope_axes):
            raise ValueError(
                f"{self.rope_axes}-D RoPE needs head_dim (dim / n_heads) to be divisible by {2 * self.rope_axes}, "
                f"got {self.head_dim}"
            )

    @classmethod
    def of(cls, config: NextDiTConfig, rope_axes: int = 2) -> "MultiViewConfig":
        """Return a text-to-image model's architecture with views."""
        return cls(**{field.name: getattr(config, field.name) for field in fields(NextDiTConfig)}, rope_axes=rope_axes)

    @classmethod
    def infer(cls, shapes: Shapes, metadata: Mapping[str, str]) -> "MultiViewConfig":
        """Read the architecture off shapes and metadata; ValueError if that has another number of axes than 2 or 3."""
        axes = metadata.get("rope_axes", "2")
        if axes not in ("2", "3"):
            raise ValueError(f"its metadata has rope_axes {axes!r}, expected 2 or 3: download it again")
        return cls.of(infer_config(shapes), int(axes))


@dataclass(frozen=True)
class Views:
    """Noisy views (B, N, C, H, W) at azimuths (B, N), in degrees, and a clean image (B, C, H, W) at 0° or none."""

    noisy: Tensor
    azimuth: Tensor
    image: Tensor | None = None

    def frames(self, t: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return all frames (B, F, C, H, W) with their azimuths and times (B, F) for views at t (B,)."""
        times = t[:, None].expand(self.azimuth.shape)
        if self.image is None:
            return self.noisy, self.azimuth, times
        frames = torch.cat([self.image[:, None], self.noisy], dim=1)
        azimuths = torch.cat([torch.zeros_like(self.azimuth[:, :1]), self.azimuth], dim=1)
        return frames, azimuths, torch.cat([torch.ones_like(times[:, :1]), times], dim=1)  # clean is t = 1


class MultiViewNextDiT(Trunk):
    """Multi-view Next-DiT; module names are the text-to-image checkpoint's keys, plus `azimuth_embedder`.

    Views are frames with a modulation each; self-attention runs over the tokens of all frames. `operations` is as in
    NextDiT.
    """

    def __init__(self, config: MultiViewConfig, *, device=None, dtype=None, operations=nn):
        axes = Axes.shared(config.head_dim, config.rope_axes, interleaved=config.rope_axes == 2)
        super().__init__(config, axes=axes, device=device, dtype=dtype, operations=operations)
        self.azimuth_embedder = AzimuthEmbedder(config.time_dim, operations=operations, device=device, dtype=dtype)

    @classmethod
    def from_image_model(cls, model: NextDiT, *, rope_axes: int = 2) -> "MultiViewNextDiT":
        """Return a multi-view model with a text-to-image model's weights, copied, and azimuths that do nothing yet."""
        weight = model.x_embedder.weight
        made = cls(MultiViewConfig.of(model.config, rope_axes), device=weight.device, dtype=weight.dtype)
        for parameter in made.azimuth_embedder.mlp[2].parameters():
            nn.init.zeros_(parameter)
        own = {key: x for key, x in made.state_dict().items() if key.startswith("azimuth_embedder.")}
        made.load_state_dict({**model.state_dict(), **own})
        return made.train(model.training)

    def forward(
        self,
        x: Tensor,
        t: Tensor,
        azimuth: Tensor,
        text: Tensor,
        text_mask: Tensor | None = None,
        *,
        image: Tensor | None = None,
        rope: RopeScaling | None = None,
        drop: ContextDrop | None = None,
        attend: Attend | None = None,
        cross: Attend | None = None,
    ) -> Tensor:
        """Return the velocity (B, N, C, H, W) of N noisy views x (B, N, C, H, W) at t (B,), t = 0 noise, t = 1 data.

        azimuth (B, N) in degrees, relative to `image`, or to view 0 where there is none. image (B, C, H, W) is a clean
        view of the object at azimuth 0. text (B, L, text_dim), text_mask (B, L) as in NextDiT. `attend` gets the tokens
        of all frames at once; `cross` attends to the text in its place. Odd sizes are padded and cropped. Computes in
        the weights' dtype, returns x's. Raises ValueError on shapes that do not fit, and as NextDiT does.
        """
        dtype = self.x_embedder.weight.dtype
        call = Call.of(t, self.config.n_layers, drop, rope=rope, attend=attend, cross=cross)
        views = Views(x.to(dtype), azimuth, None if image is None else image.to(dtype))
        return self.velocity(views, t, text.to(dtype), known_mask(text_mask), call).to(x.dtype)

    def velocity(
        self, views: Views, t: Tensor, text: Tensor, text_mask: Tensor | None = None, call: Call = PLAIN_CALL
    ) -> Tensor:
        """Do forward's work in the views' dtype, for callers that cast weights themselves.

        `call.replace` gets tokens (B·F, tokens of a frame, dim), F = N or, with an image before the views, N + 1.
        """
        check_shapes(views, t, text)
        frames, azimuths, times = views.frames(t)
        count = frames.shape[1]
        self.check(frames.flatten(0, 1).shape, text.shape[-1])
        condition = self.condition(times.flatten(), text, text_mask, call)
        condition = condition + self.azimuth_embedder(azimuths.flatten(), frames.dtype)
        call = call.with_attend(lambda attend: across_frames(attend, count))
        out = self.run(frames.flatten(0, 1), t, condition, call, text_mask, text=text).unflatten(0, (-1, count))
        return out if views.image is None else out[:, 1:]


def check_shapes(views: Views, t: Tensor, text: Tensor) -> None:
    """Raise ValueError unless the inputs of a MultiViewNextDiT are of the same number of sets and views."""
    x, azimuth, image = views.noisy, views.azimuth, views.image
    if x.ndim != 5:
        raise ValueError(f"views must have the shape (sets, views, channels, height, width), got {tuple(x.shape)}")
    sets, count = x.shape[:2]
    if tuple(azimuth.shape) != (sets, count):
        raise ValueError(
            f"{sets} sets of {count} views need azimuths of shape ({sets}, {count}), got {tuple(azimuth.shape)}: "
            "give one azimuth a view"
        )
    for name, given in (("time", t), ("text", text)):
        if len(given) != sets:
            raise ValueError(f"{sets} sets of views need {sets} rows of {name}, got {len(given)}: give one row a set")
    expected = (sets, *x.shape[2:])
    if image is not None and tuple(image.shape) != expected:
        raise ValueError(
            f"the condition image must have the shape of one view of each set, {expected}, got {tuple(image.shape)}: "
            "scale it to the views' size"
        )


FAMILY = Family(
    "multiview",
    title="a multi-view Next-DiT",
    kind="Next-DiT, several views of an object",
    config=MultiViewConfig,
    network=MultiViewNextDiT,
    layouts=layouts("azimuth_embedder.mlp.0.weight"),
    infer=MultiViewConfig.infer,
    metadata=lambda config: {"rope_axes": str(config.rope_axes)},
    facts=("rope_axes",),
    reference=reference_key,
)
