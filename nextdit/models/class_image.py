"""From a class to a picture: Next-DiT, Flag-DiT and mixtures of experts, as trained on ImageNet (paper section 3.1)."""

import torch
from torch import Tensor, nn

from ..blocks import ClassBlock, FlagBlock
from ..call import PLAIN_CALL, Call
from ..class_config import TABLE, ClassConfig
from ..context_drop import ContextDrop
from ..family import Family, Layout
from ..latents import SD1
from ..layers.attend import Attend
from ..layers.rope_scaling import RopeScaling
from ..layers.tokens import known_mask, masked_mean
from ..trunk import Pictures

BLOCKS = {"next": ClassBlock, "flag": FlagBlock}


class LabelEmbedder(nn.Module):
    """Shares of classes (B, classes) → features (B, width); what they lack of 1 is the null class, the last row."""

    def __init__(self, classes: int, width: int, *, operations, **factory):
        super().__init__()
        self.embedding_table = operations.Embedding(classes + 1, width, **factory)

    def forward(self, shares: Tensor) -> Tensor:
        rows = torch.arange(self.embedding_table.num_embeddings, device=shares.device)
        whole = torch.cat([shares, 1 - shares.sum(-1, keepdim=True)], dim=-1)
        return whole @ self.embedding_table(rows).to(shares.dtype)


class ClassDiT(Pictures):
    """A network from a class to a picture; module names are the reference checkpoints' keys.

    `operations` is as in Stack, and has Embedding too.
    """

    config: ClassConfig
    t_embedder: nn.Module
    y_embedder: LabelEmbedder

    def __init__(self, config: ClassConfig, *, device=None, dtype=None, operations=nn):
        made = {"operations": operations, "device": device, "dtype": dtype}
        label = LabelEmbedder(config.classes, config.time_dim, **made)
        block = BLOCKS[config.block]
        super().__init__(config, self.embedders(config, **made), {"y_embedder": label}, block, shifts=True, **made)
        self.axes = config.axes

    def forward(
        self,
        x: Tensor,
        t: Tensor,
        label: Tensor,
        *,
        rope: RopeScaling | None = None,
        drop: ContextDrop | None = None,
        attend: Attend | None = None,
    ) -> Tensor:
        """Return the velocity (B, C, H, W) at x (B, C, H, W) and t (B,), t = 0 noise, t = 1 data.

        label (B,) are numbers of classes, `config.classes` for none, or (B, classes) shares of them, all zero for none.
        Odd sizes are padded and cropped. Computes in the weights' dtype, returns x's. Raises ValueError on labels or
        channels that do not fit, and on `drop` or a factor per axis for Flag-DiT, whose patches stand in one line.
        """
        dtype = self.x_embedder.weight.dtype
        call = Call.of(t, self.config.n_layers, drop, rope=rope, attend=attend)
        shares = label if label.is_floating_point() else self.shares(label)
        return self.velocity(x.to(dtype), t, shares.to(dtype).unsqueeze(1), None, call).to(x.dtype)

    def shares(self, label: Tensor) -> Tensor:
        """Return the shares (B, classes) of classes (B,), all zero for the last and one more. ValueError for others."""
        classes = self.config.classes
        if label.ndim != 1 or not ((label >= 0) & (label <= classes)).all():
            raise ValueError(f"expected a row of classes from 0 to {classes - 1}, {classes} for none, got {label!r}")
        return nn.functional.one_hot(label, classes + 1)[:, :classes].float()

    def velocity(
        self, x: Tensor, t: Tensor, text: Tensor, text_mask: Tensor | None = None, call: Call = PLAIN_CALL
    ) -> Tensor:
        """Do forward's work in x's dtype, for callers that cast weights themselves.

        text (B, L, classes) are shares, of which the mean counts; text_mask (B, L) is as that of a text.
        """
        self.config.check_latent(x.shape)
        self.config.check_text(text.shape[-1])
        time = self.t_embedder(t, x.dtype)
        condition = time + self.y_embedder(masked_mean(text, known_mask(text_mask)))
        given = {"time": time} if self.config.block == "next" else {}
        return self.run(x, t, condition, call, **given)


FAMILY = Family(
    "class_image",
    title="a class-conditional Next-DiT or Flag-DiT",
    kind="class to image",
    kind_of=lambda config: config.title,
    config=ClassConfig,
    network=ClassDiT,
    layouts=(Layout("reference", ("layers.0.attention.wq.weight", TABLE)),),
    infer=ClassConfig.infer,
    metadata=ClassConfig.about,
    facts=("n_heads",),
    texts=("experts", "labels"),
    latents=SD1,
    native=lambda config: None if config.in_channels == 3 else {"next": "imagenet", "flag": "flag_dit"}[config.block],
)
