"""Next-DiT for point clouds of any number of points, from a label or a text (paper section 5.3).

No code or weights of the authors are public: the design is ours, within what the paper says.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ..blocks import runs
from ..call import PLAIN_CALL, Call
from ..config import NextDiTConfig, check_batch
from ..family import Family, Shapes
from ..infer import infer_body, shape_of
from ..keys import layouts, reference_key
from ..layers.attend import Attend
from ..layers.attention import Attending
from ..layers.point_features import DEFAULT, METHODS, PointEmbedder
from ..layers.tokens import additive_mask, known_mask
from ..trunk import Body


@dataclass(frozen=True)
class PointConfig(NextDiTConfig):
    """Architecture of a Next-DiT for points: `features` Fourier features an axis, scaled by a method of METHODS.

    A model of labels knows those of `labels` and takes no text, one of text has none. `train_points` is the number of
    points in training, in which, if `paired`, every point came from the noise near it (`clouds.noise`). Raises
    ValueError on values that cannot be, and as NextDiTConfig.
    """

    in_channels: int = 3
    out_channels: int = 3
    patch_size: int = 1
    features: int = 16
    scaling: str = DEFAULT
    scale: float = 8.0
    train_points: int = 256
    labels: tuple[str, ...] = ()
    paired: bool = False

    def __post_init__(self):
        super().__post_init__()
        if self.scaling not in METHODS:
            raise ValueError(f"unknown point scaling {self.scaling!r}; known: {', '.join(METHODS)}")
        if not (math.isfinite(self.scale) and self.scale >= 1):
            raise ValueError(f"the scale of point features must be a finite number from 1 on, got {self.scale!r}")

    def check_latent(self, shape: Sequence[int]) -> None:
        """Raise ValueError unless a latent of this shape is (clouds, 3, points), with at least one point."""
        if len(shape) != 3 or shape[1] != 3:
            raise ValueError(
                f"the latent has the shape {tuple(shape)}, but this Next-DiT takes point clouds, (batch, 3, points); "
                "start from empty points or a loaded cloud"
            )
        check_batch(shape)
        if shape[2] < 1:
            raise ValueError("the point cloud is empty; it needs at least 1 point")

    def check_text(self, text_dim: int) -> None:
        """Raise ValueError if text features of this width, or for a model of labels labels, are not this model's."""
        if self.labels and text_dim != len(self.labels):
            raise ValueError(
                f"this model makes points from a label, not from text: choose one of {', '.join(self.labels)}"
            )
        if not self.labels:
            super().check_text(text_dim)

    def label(self, label: str | int) -> int:
        """Return the number of a label, which is a name or already a number. Raises ValueError if it has none such."""
        if not self.labels:
            raise ValueError("this model makes points from text, not from a label: give it a prompt")
        names = [name.casefold() for name in self.labels]
        text = str(label).strip().casefold()
        found = names.index(text) if text in names else int(text) if text.isascii() and text.isdecimal() else -1
        if not 0 <= found < len(names):
            raise ValueError(
                f"unknown label {label!r}; this model knows {', '.join(self.labels)} (or 0 to {len(names) - 1})"
            )
        return found

    @classmethod
    def infer(cls, shapes: Shapes, metadata: Mapping[str, str]) -> "PointConfig":
        """Read the architecture off shapes and metadata. Raises ValueError if that says nonsense."""
        known = shape_of("label_embedder.weight", shapes)[1] - 1 if "label_embedder.weight" in shapes else 0
        labels = (
            tuple(metadata["labels"].split(", ")) if known and "labels" in metadata else tuple(map(str, range(known)))
        )
        scale, train_points = metadata.get("point_scale", "8"), metadata.get("train_points", "256")
        try:
            told: dict[str, Any] = {"scale": float(scale), "train_points": int(train_points)}
        except ValueError:
            raise ValueError(
                f"its metadata has point_scale {scale!r} and train_points {train_points!r}, expected numbers: download "
                "it again"
            ) from None
        if len(labels) != known:
            raise ValueError(f"its metadata has {len(labels)} labels, its weights {known}: download it again")
        features = (shape_of("point_embedder.linear.weight", shapes)[1] - 3) // 6
        scaling = metadata.get("point_scaling", DEFAULT)
        paired = metadata.get("points_paired", "") == "true"
        return cls(**infer_body(shapes), **told, features=features, scaling=scaling, labels=labels, paired=paired)

    def metadata(self) -> dict[str, str]:
        """Return what a file has to say of the architecture because its shapes do not."""
        said = {"point_scaling": self.scaling, "point_scale": f"{self.scale:g}", "train_points": str(self.train_points)}
        said |= {"points_paired": "true"} if self.paired else {}
        return said | ({"labels": ", ".join(self.labels)} if self.labels else {})


class PointNextDiT(Body):
    """Next-DiT whose tokens are points, without RoPE: permuting the points permutes what it returns.

    A label takes the place of a text of one token. `operations` is as in Body.
    """

    config: PointConfig
    point_embedder: PointEmbedder
    label_embedder: nn.Linear

    def __init__(self, config: PointConfig, *, device=None, dtype=None, operations=nn):
        factory = {"device": device, "dtype": dtype}
        c, made = config, {"operations": operations, **factory}
        embedders: dict[str, nn.Module] = {
            "point_embedder": PointEmbedder(c.features, c.dim, c.scaling, c.scale, **made)
        }
        if c.labels:  # the last is none
            embedders["label_embedder"] = operations.Linear(len(c.labels) + 1, c.text_dim, bias=False, **factory)
        super().__init__(config, embedders, **made)

    def forward(
        self,
        x: Tensor,
        t: Tensor,
        text: Tensor,
        text_mask: Tensor | None = None,
        *,
        mask: Tensor | None = None,
        proportional: bool = False,
        attend: Attend | None = None,
    ) -> Tensor:
        """Return the velocity (B, 3, N) of points x (B, 3, N) at t (B,), t = 0 noise, t = 1 data.

        text (B, L, text_dim) and text_mask (B, L) as in NextDiT; for a model of labels their shares (B, 1, labels): all
        zero is no label. mask (B, N) is true or 1 where a point counts, in a batch of clouds of several sizes, whose
        velocities are 0 elsewhere. `proportional` attention is for more points than in training. Computes in the
        weights' dtype, returns x's. Raises ValueError on shapes that do not fit.
        """
        dtype = self.point_embedder.linear.weight.dtype
        call = Call.of(t, self.config.n_layers, attend=attend, proportional=proportional)
        return self.velocity(x, t, text.to(dtype), known_mask(text_mask), call, known_mask(mask)).to(x.dtype)

    def velocity(
        self,
        x: Tensor,
        t: Tensor,
        text: Tensor,
        text_mask: Tensor | None = None,
        call: Call = PLAIN_CALL,
        mask: Tensor | None = None,
    ) -> Tensor:
        """Do forward's work in the text's dtype, for callers that cast weights themselves; x is best in float32."""
        self.check(x.shape, text.shape[-1])
        text = self.labelled(text) if self.config.labels else text
        condition = self.condition(t, text, text_mask, call)
        x, pull = within_rim(x, t)
        tokens = self.point_embedder(x.transpose(1, 2), t, text.dtype)
        if mask is not None:
            mask = mask.to(x.device).bool()
            tokens = torch.where(mask.unsqueeze(-1), tokens, self.pad_token.to(tokens))
        how = self.attending(call, text_mask, mask, tokens)
        for run in runs(self.layers, condition, how, call, text=text):
            tokens = run(tokens)
        out = self.final_layer(tokens, condition).transpose(1, 2) + pull
        return out if mask is None else out * mask.unsqueeze(1)

    def labelled(self, shares: Tensor) -> Tensor:
        """Return the embedding (B, 1, text_dim) of labels' shares (B, 1, labels); what they lack of 1 is none."""
        return self.label_embedder(torch.cat([shares, 1 - shares.sum(-1, keepdim=True)], dim=-1))

    def attending(self, call: Call, text_mask: Tensor | None, mask: Tensor | None, tokens: Tensor) -> Attending:
        """Return how the layers attend among tokens (B, N, dim), under masks (B, L) and (B, N)."""
        masks = [None if m is None else additive_mask(m.to(tokens.device), tokens.dtype) for m in (text_mask, mask)]
        cross = call.attend if call.cross is None else call.cross
        scale = logit_scale(tokens.shape[1], self.config.train_points) if call.proportional else 1.0
        return Attending(None, call.attend, cross, masks[0], scale, mask=masks[1])


RIM = 3.5, 1.75
"""How far from the middle points may stand in noise and in data: 7 of 1000 points of noise are farther out."""


def within_rim(x: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
    """Return points x (B, 3, N) at times t (B,), those beyond the rim drawn in to it, and the velocity that does so.

    Far points are too rare in training to be learned, and without this stay behind as specks around large clouds.
    """
    t = t.to(x.device, torch.float32)[:, None, None]
    rim = RIM[0] * (1 - t) + RIM[1] * t
    far = x.float()
    near = far * (rim / far.norm(dim=1, keepdim=True).clamp(min=1e-6)).clamp(max=1.0)
    return near.to(x.dtype), ((near - far) / (1 - t).clamp(min=0.05)).to(x.dtype)


def logit_scale(points: int, train_points: int) -> float:
    """Return what proportional attention multiplies logits with, √(log N / log N_train), or 1 up to that number."""
    return math.sqrt(max(1.0, math.log(points) / math.log(max(2, train_points)))) if points > 1 else 1.0


FAMILY = Family(
    "points",
    title="a Next-DiT for points",
    kind="Next-DiT, point clouds",
    config=PointConfig,
    network=PointNextDiT,
    layouts=layouts("point_embedder.linear.weight"),
    infer=PointConfig.infer,
    metadata=PointConfig.metadata,
    texts=("point_scaling", "point_scale", "train_points", "labels", "points_paired"),
    reference=reference_key,
    pictures=False,
)
