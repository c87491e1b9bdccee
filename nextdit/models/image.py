"""Next-DiT for text to image: noisy latents, time and text features in, velocity out."""

from torch import Tensor, nn

from ..call import PLAIN_CALL, Call
from ..config import NextDiTConfig
from ..context_drop import ContextDrop
from ..family import Family
from ..infer import infer_config
from ..keys import layouts, reference_key
from ..layers.attend import Attend
from ..layers.rope import Axes
from ..layers.rope_scaling import RopeScaling
from ..layers.tokens import known_mask
from ..trunk import Trunk


class NextDiT(Trunk):
    """Text-to-image Next-DiT (arXiv 2406.18583); module names are the reference checkpoint's keys.

    `operations` is the namespace that has Linear, LayerNorm and RMSNorm: torch.nn, or a comfy.ops class.
    """

    def __init__(self, config: NextDiTConfig, *, device=None, dtype=None, operations=nn):
        axes = Axes.shared(config.head_dim, 2, interleaved=True)
        super().__init__(config, axes=axes, device=device, dtype=dtype, operations=operations)

    def forward(
        self,
        x: Tensor,
        t: Tensor,
        text: Tensor,
        text_mask: Tensor | None = None,
        *,
        rope: RopeScaling | None = None,
        drop: ContextDrop | None = None,
        attend: Attend | None = None,
    ) -> Tensor:
        """Return the velocity (B, C, H, W) at x (B, C, H, W) and t (B,), t = 0 noise, t = 1 data.

        text (B, L, text_dim); text_mask (B, L), true or 1 where a token counts, None if all do. Odd sizes are padded
        and cropped. Computes in the weights' dtype, returns x's. Raises ValueError on a wrong channel count or width,
        and on several times in one batch when `drop` fades.
        """
        dtype = self.x_embedder.weight.dtype
        call = Call.of(t, self.config.n_layers, drop, rope=rope, attend=attend)
        return self.velocity(x.to(dtype), t, text.to(dtype), known_mask(text_mask), call).to(x.dtype)

    def velocity(
        self, x: Tensor, t: Tensor, text: Tensor, text_mask: Tensor | None = None, call: Call = PLAIN_CALL
    ) -> Tensor:
        """Do forward's work in x's dtype, for callers that cast weights themselves."""
        self.check(x.shape, text.shape[-1])
        return self.run(x, t, self.condition(t, text, text_mask, call), call, text_mask, text=text)


FAMILY = Family(
    "image",
    title="a text-to-image Next-DiT",
    kind="Next-DiT, text to image",
    config=NextDiTConfig,
    network=NextDiT,
    layouts=layouts(),
    infer=lambda shapes, metadata: infer_config(shapes),
    reference=reference_key,
    native=lambda config: None if config.in_channels == 3 else "lumina_next",
)
