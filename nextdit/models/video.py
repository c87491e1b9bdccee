"""Video: frames × rows × columns of one clip at once, with RoPE on all three axes (paper equations 2 and 3)."""

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
from ..layers.embedders import PlaceEmbedder
from ..layers.rope import Axes
from ..layers.rope_scaling import RopeScaling
from ..layers.tokens import known_mask
from ..trunk import Trunk
from .image import NextDiT
from .multiview import across_frames


@dataclass(frozen=True)
class VideoConfig(NextDiTConfig):
    """Architecture of a video Next-DiT: a text-to-image one's, and what of a head turns with the frame's number.

    With `frame_width` the two axes of a text-to-image model stay, and that many numbers of a head, those that turn
    slowest with row and column, also turn with the frame: a single frame is what it was. With 0 frames, rows and
    columns have a third each (paper equation 2), for which head_dim has to be divisible by 6. Raises ValueError on
    another width, and as NextDiTConfig.
    """

    may_be_0 = frozenset({"frame_width"})

    frame_width: int = 0

    def __post_init__(self):
        super().__post_init__()
        if self.frame_width % 2 or self.frame_width > self.head_dim:
            raise ValueError(
                f"frame_width must be even and at most head_dim (dim / n_heads, {self.head_dim}), "
                f"got {self.frame_width}"
            )
        if not self.frame_width and self.head_dim % 6:
            raise ValueError(
                f"3-D RoPE in three equal parts needs head_dim (dim / n_heads) to be divisible by 6, got "
                f"{self.head_dim}: give a frame_width"
            )

    @property
    def axes(self) -> Axes:
        """The axes of RoPE: frame, row, column."""
        if not self.frame_width:
            return Axes.shared(self.head_dim, 3)
        half = self.head_dim // 2
        return Axes((self.frame_width, half, half), interleaved=True, overlaid=True)

    def check_latent(self, shape) -> None:
        """Raise ValueError unless latents of this shape are (batch, in_channels, frames, height, width), none 0."""
        if len(shape) != 5:
            raise ValueError(
                f"the latent has {len(shape)} dimensions, {tuple(shape)}, but this video model takes 5: batch, "
                "channels, frames, height, width; start from an empty latent for video"
            )
        if shape[2] < 1:
            raise ValueError(f"the latent is empty, {tuple(shape)}; it needs at least one frame")
        super().check_latent((shape[0], shape[1], *shape[3:]))

    @classmethod
    def of(cls, config: NextDiTConfig, frame_width: int | None = None) -> "VideoConfig":
        """Return a text-to-image model's architecture with frames, by default on half of a head's numbers."""
        width = config.head_dim // 4 * 2 if frame_width is None else frame_width
        return cls(**{field.name: getattr(config, field.name) for field in fields(NextDiTConfig)}, frame_width=width)

    @classmethod
    def infer(cls, shapes: Shapes, metadata: Mapping[str, str]) -> "VideoConfig":
        """Read the architecture off shapes and metadata; ValueError if that has no width of the frames' axis."""
        width = metadata.get("frame_width", "")
        if not (width.isascii() and width.isdecimal()):
            raise ValueError(f"its metadata has frame_width {width!r}, expected a whole number: download it again")
        return cls.of(infer_config(shapes), int(width))


def near_frames(attend: Attend, frames: int, window: int) -> Attend:
    """Return `attend` for queries (B·frames, H, N, D), each frame's over the tokens of the `window` nearest frames.

    At the ends of the clip the window moves inward, so that every frame sees as many. Where the window holds the whole
    clip that is `across_frames`, and one call; else one call for all, with keys and values copied `window` times.
    """
    if window >= frames:
        return across_frames(attend, frames)
    first = (torch.arange(frames) - window // 2).clamp(0, frames - window)
    seen = first[:, None] + torch.arange(window)  # (frames, window)

    def gathered(x: Tensor) -> Tensor:
        x = x.unflatten(0, (-1, frames))[:, seen.to(x.device)]  # (B, frames, window, H_kv, N, D)
        return x.transpose(2, 3).flatten(3, 4).flatten(0, 1)

    whole = across_frames(attend, frames)

    def windowed(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None) -> Tensor:
        if len(k) != len(q):  # a text's
            return whole(q, k, v, mask)
        return attend(q, gathered(k), gathered(v), mask)

    return windowed


class VideoNextDiT(Trunk):
    """Video Next-DiT; module names are the text-to-image checkpoint's keys, plus `frame_embedder`.

    Self-attention runs over the tokens of all frames, each of which has a modulation of its own: by its time, which is
    1 for frames that are given, and by its place in the clip. `operations` is as in NextDiT.
    """

    def __init__(self, config: VideoConfig, *, device=None, dtype=None, operations=nn):
        super().__init__(config, axes=config.axes, device=device, dtype=dtype, operations=operations)
        self.frame_embedder = PlaceEmbedder(config.time_dim, operations=operations, device=device, dtype=dtype)

    @classmethod
    def from_image_model(cls, model: NextDiT, *, frame_width: int | None = None) -> "VideoNextDiT":
        """Return a video model with a text-to-image model's weights, copied, and places that do nothing yet.

        A clip of one frame is then that model's picture, unless `frame_width` is 0.
        """
        weight = model.x_embedder.weight
        made = cls(VideoConfig.of(model.config, frame_width), device=weight.device, dtype=weight.dtype)
        for parameter in made.frame_embedder.mlp[2].parameters():
            nn.init.zeros_(parameter)
        own = {key: x for key, x in made.state_dict().items() if key.startswith("frame_embedder.")}
        made.load_state_dict({**model.state_dict(), **own})
        return made.train(model.training)

    def forward(
        self,
        x: Tensor,
        t: Tensor,
        text: Tensor,
        text_mask: Tensor | None = None,
        *,
        given: Tensor | None = None,
        window: int | None = None,
        rope: RopeScaling | None = None,
        drop: ContextDrop | None = None,
        attend: Attend | None = None,
    ) -> Tensor:
        """Return the velocity (B, C, F, H, W) of clips x (B, C, F, H, W) at t (B,), t = 0 noise, t = 1 data.

        given (B, F) or (F,) is true where a frame of x is clean, as the first one of a clip that an image begins; its
        velocity is 0. `window` is how many frames each frame attends to, by default all. text (B, L, text_dim) and
        text_mask (B, L) as in NextDiT; `attend` gets the tokens of all frames at once. Odd sizes are padded and
        cropped. Computes in the weights' dtype, returns x's. Raises ValueError as NextDiT does, and on inputs for
        another number of clips or frames.
        """
        dtype = self.x_embedder.weight.dtype
        call = Call.of(t, self.config.n_layers, drop, rope=rope, attend=attend)
        out = self.velocity(x.to(dtype), t, text.to(dtype), known_mask(text_mask), call, given=given, window=window)
        return out.to(x.dtype)

    def velocity(
        self,
        x: Tensor,
        t: Tensor,
        text: Tensor,
        text_mask: Tensor | None = None,
        call: Call = PLAIN_CALL,
        *,
        given: Tensor | None = None,
        window: int | None = None,
    ) -> Tensor:
        """Do forward's work in x's dtype, for callers that cast weights themselves.

        `call.replace` gets tokens (B·F, tokens of a frame, dim).
        """
        self.check(x.shape, text.shape[-1])
        clips, frames = len(x), x.shape[2]
        known = check_inputs(given, clips, frames, t, text, window)
        times = t[:, None].expand(clips, frames)
        times = times if known is None else torch.where(known.to(t.device), torch.ones_like(times), times)
        condition = self.condition(times.flatten(), text, text_mask, call)
        places = self.frame_embedder(places_of(frames, x.device), x.dtype)
        condition = condition + places.repeat(clips, 1)
        call = call.with_attend(lambda attend: near_frames(attend, frames, window or frames))
        pictures = x.transpose(1, 2).flatten(0, 1)  # (B·F, C, H, W)
        out = self.run(pictures, t, condition, call, text_mask, text=text).unflatten(0, (clips, frames))
        if known is not None:
            out = out.masked_fill(known.to(out.device)[..., None, None, None], 0.0)
        return out.transpose(1, 2)


def places_of(frames: int, device: torch.device) -> Tensor:
    """Return where in the clip its frames are, (F,) from 0 to 1; 0 for a single one."""
    return torch.arange(frames, device=device) / max(1, frames - 1)


def check_inputs(
    given: Tensor | None, clips: int, frames: int, t: Tensor, text: Tensor, window: int | None
) -> Tensor | None:
    """Return which frames are given as (B, F) bool. Raises ValueError if inputs are for other numbers of clips."""
    for name, rows in (("time", t), ("text", text)):
        if len(rows) != clips:
            raise ValueError(f"{clips} clips need {clips} rows of {name}, got {len(rows)}: give one row a clip")
    if window is not None and window < 1:
        raise ValueError(f"a window holds at least 1 frame, got {window}")
    if given is None:
        return None
    if given.shape not in ((frames,), (1, frames), (clips, frames)):
        raise ValueError(
            f"{clips} clips of {frames} frames need `given` of shape ({frames},) or ({clips}, {frames}), "
            f"got {tuple(given.shape)}: say of each frame whether it is given"
        )
    return given.bool().expand(clips, frames)


FAMILY = Family(
    "video",
    title="a video Next-DiT",
    kind="Next-DiT, video",
    config=VideoConfig,
    network=VideoNextDiT,
    layouts=layouts("frame_embedder.mlp.0.weight"),
    infer=VideoConfig.infer,
    metadata=lambda config: {"frame_width": str(config.frame_width)},
    facts=("frame_width", "train_frames"),
    reference=reference_key,
)
