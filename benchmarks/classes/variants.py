"""The networks of figure 6 in small: Next-DiT, what it was before, and Next-DiT with one thing changed.

All have nearly as many parameters: the feed-forward takes what the others have more of. What only this comparison needs
is here and not in the product.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor, nn

from ...nextdit.blocks import ClassBlock
from ...nextdit.call import PLAIN_CALL, Call, RunLayer
from ...nextdit.layers.attention import Attending
from ...nextdit.layers.modulation import norm_modulate, plain_norm
from ...nextdit.models.class_image import ClassConfig, ClassDiT
from ...training.loop.flow import initialise

BASE = ClassConfig(
    dim=64,
    n_layers=6,
    n_heads=4,
    n_kv_heads=2,
    in_channels=3,
    out_channels=3,
    patch_size=4,
    ffn_dim=160,
    time_dim=64,
    classes=16,
)
STEP = 4  # of a feed-forward's width


class BareBlock(ClassBlock):
    """Next-DiT's block without the norms behind its sub-layers."""

    def __init__(self, config: ClassConfig, *, operations, **factory):
        super().__init__(config, operations=operations, **factory)
        self.attention_norm = self.ffn_norm = nn.Identity()


class LinearGateBlock(ClassBlock):
    """Next-DiT's block with gates that are not bounded by tanh."""

    def forward(self, x: Tensor, condition: Tensor, how: Attending, time: Tensor) -> Tensor:
        scale_a, gate_a, scale_f, gate_f = self.adaLN_modulation(condition).chunk(4, dim=-1)
        h = self.attention(norm_modulate(plain_norm, x, scale_a), None, how)
        x = x + gate_a.unsqueeze(1) * self.attention_norm(h)
        h = self.feed_forward(norm_modulate(plain_norm, x, scale_f))
        return x + gate_f.unsqueeze(1) * self.ffn_norm(h)


class LongSkips(ClassDiT):
    """Next-DiT with the tokens of early layers joined to those of late ones, as a U-Net's (U-ViT, arXiv 2209.12152).

    The linear layers that join begin as if there were none.
    """

    def __init__(self, config: ClassConfig, **factory):
        super().__init__(config, **factory)
        self.skips = nn.ModuleList(nn.Linear(2 * config.dim, config.dim) for _ in range(config.n_layers // 2))

    def velocity(
        self, x: Tensor, t: Tensor, text: Tensor, text_mask: Tensor | None = None, call: Call = PLAIN_CALL
    ) -> Tensor:
        early: list[Tensor] = []

        def keep(tokens: Tensor, run: RunLayer) -> Tensor:
            early.append(run(tokens))
            return early[-1]

        def join(tokens: Tensor, run: RunLayer) -> Tensor:
            joined = self.skips[len(early) - 1](torch.cat([tokens, early.pop()], dim=-1))
            return run(joined)

        layers, half = self.config.n_layers, self.config.n_layers // 2
        how = {i: keep for i in range(half)} | {i: join for i in range(layers - half, layers)}
        return super().velocity(x, t, text, text_mask, replace(call, replace=how))


@dataclass(frozen=True)
class Variant:
    """How a network differs from Next-DiT: in its config, its blocks, or as a whole."""

    changed: dict[str, object] = field(default_factory=dict)
    block: type[nn.Module] | None = None
    network: type[ClassDiT] = ClassDiT

    def build(self, config: ClassConfig, device: str | None = None) -> ClassDiT:
        """Return the untrained network of a config."""
        model = self.network(config, device=device)
        if self.block is not None:
            blocks = (self.block(config, operations=nn, device=device) for _ in range(config.n_layers))
            model.layers = nn.ModuleList(blocks)
        return model


VARIANTS = {
    "Next-DiT": Variant(),
    "Flag-DiT": Variant({"block": "flag", "n_kv_heads": 4}),
    "no sandwich norms": Variant(block=BareBlock),
    "no tanh gates": Variant(block=LinearGateBlock),
    "long skips": Variant(network=LongSkips),
    "full keys": Variant({"n_kv_heads": 4}),
    "experts by time": Variant({"time_experts": 4}),
}
NEXT = "Next-DiT"


def parameters(model: nn.Module) -> int:
    """Return how many numbers a network learns."""
    return sum(p.numel() for p in model.parameters())


def matched(variant: Variant, base: ClassConfig = BASE) -> ClassConfig:
    """Return the config of a variant whose feed-forward is as wide as makes it nearest to Next-DiT in parameters."""
    wanted = parameters(Variant().build(base, "meta"))

    def count(width: int) -> int:
        return parameters(variant.build(replace(base, **variant.changed, ffn_dim=width), "meta"))

    least, each = count(STEP), count(2 * STEP) - count(STEP)  # by as much a step of the width adds
    return replace(base, **variant.changed, ffn_dim=STEP * max(1, 1 + round((wanted - least) / each)))


def prepared(model: ClassDiT) -> ClassDiT:
    """Return a network made ready for training; joining layers pass on what comes along the main way."""
    initialise(model)
    for skip in getattr(model, "skips", ()):
        nn.init.zeros_(skip.weight)
        nn.init.eye_(skip.weight[:, : skip.out_features])
    return model


def magnitudes(model: ClassDiT, call: Callable[[], Tensor]) -> list[float]:
    """Return the root mean square of the tokens behind every layer in one evaluation."""
    found: list[float] = []
    hooks = [
        layer.register_forward_hook(lambda module, given, out: found.append(float(out.float().square().mean().sqrt())))
        for layer in model.layers
    ]
    try:
        call()
    finally:
        for hook in hooks:
            hook.remove()
    return found
