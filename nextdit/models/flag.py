"""Flag-DiT for text to image (Lumina-T2I, arXiv 2405.05945): the predecessor of Next-DiT, released with 5B weights."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ..blocks import FlagBlock
from ..call import PLAIN_CALL, Call
from ..config import NextDiTConfig
from ..family import Family, Shapes
from ..infer import infer_config
from ..keys import layouts, reference_key
from ..layers.attend import Attend
from ..layers.rope import Axes
from ..layers.rope_scaling import RopeScaling
from ..layers.tokens import known_mask
from ..trunk import Trunk


@dataclass(frozen=True)
class FlagConfig(NextDiTConfig):
    """Architecture of a text-to-image Flag-DiT; fields as in NextDiTConfig, of which it takes any even head_dim."""

    def check_head_dim(self) -> None:
        """Raise ValueError if RoPE cannot share out a head's numbers."""
        if self.head_dim % 2:
            raise ValueError(f"RoPE needs head_dim (dim / n_heads) to be even, got {self.head_dim}")

    @classmethod
    def infer(cls, shapes: Shapes, metadata: Mapping[str, str]) -> "FlagConfig":
        """Read the architecture off shapes and metadata. Raises ValueError as `infer_config`."""
        return infer_config(shapes, cls, "layers.0.attention_norm.weight")


class FlagDiT(Trunk):
    """Text-to-image Flag-DiT; module names are the reference checkpoint's keys.

    Patches stand in one line, each row ended by `eol_token`, with 1-D RoPE. `operations` is as in NextDiT.
    """

    eol_token: nn.Parameter

    def __init__(self, config: FlagConfig, *, device=None, dtype=None, operations=nn):
        axes = Axes((config.head_dim,), ends=1)
        made = {"device": device, "dtype": dtype, "operations": operations}
        super().__init__(config, axes=axes, block=FlagBlock, shifts=True, **made)
        self.eol_token = nn.Parameter(torch.zeros(config.dim, device=device, dtype=dtype))

    def forward(
        self,
        x: Tensor,
        t: Tensor,
        text: Tensor,
        text_mask: Tensor | None = None,
        *,
        rope: RopeScaling | None = None,
        attend: Attend | None = None,
    ) -> Tensor:
        """Return the velocity (B, C, H, W) at x (B, C, H, W) and t (B,), t = 0 noise, t = 1 data.

        text (B, L, text_dim); text_mask (B, L), true or 1 where a token counts, None if all do. Odd sizes are padded
        and cropped. Computes in the weights' dtype, returns x's. Raises ValueError on a wrong channel count or width,
        and on a `rope` with a factor per axis.
        """
        dtype = self.x_embedder.weight.dtype
        call = Call.of(t, self.config.n_layers, rope=rope, attend=attend)
        return self.velocity(x.to(dtype), t, text.to(dtype), known_mask(text_mask), call).to(x.dtype)

    def velocity(
        self, x: Tensor, t: Tensor, text: Tensor, text_mask: Tensor | None = None, call: Call = PLAIN_CALL
    ) -> Tensor:
        """Do forward's work in x's dtype, for callers that cast weights themselves."""
        self.check(x.shape, text.shape[-1])
        return self.run(x, t, self.condition(t, text, text_mask, call), call, text_mask, text=text)

    def to_sequence(self, tokens: Tensor, grid: tuple[int, int]) -> Tensor:
        rows = tokens.unflatten(1, grid)
        ends = self.eol_token.to(tokens).expand(*rows.shape[:2], 1, -1)
        return torch.cat([rows, ends], dim=2).flatten(1, 2)

    def to_patches(self, tokens: Tensor, grid: tuple[int, int]) -> Tensor:
        return tokens.unflatten(1, (grid[0], -1))[:, :, :-1].flatten(1, 2)


FAMILY = Family(
    "flag",
    title="a text-to-image Flag-DiT (Lumina-T2I)",
    kind="Flag-DiT, text to image",
    config=FlagConfig,
    network=FlagDiT,
    layouts=layouts("eol_token")[:2],
    infer=FlagConfig.infer,
    reference=reference_key,
    native=lambda config: None if config.in_channels == 3 else "lumina_t2i",
)
