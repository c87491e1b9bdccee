"""Text to audio and music: Flag-DiT as released (Lumina-T2Audio, Lumina-T2Music, Make-An-Audio 3, arXiv 2405.18503,
2405.05945), and Next-DiT as in the paper (section 5.2), on a row of frames."""

import re
from dataclasses import replace

import torch
from einops import rearrange
from torch import Tensor, nn

from ..audio_config import FLOATS, NUMBERS, AudioConfig
from ..blocks import Block, FlagBlock, NextBlock, runs
from ..call import PLAIN_CALL, Call
from ..family import Family, Layout
from ..keys import GATE, model_key, reference_key
from ..layers.attend import Attend
from ..layers.rope import Axes
from ..layers.rope_choice import AUDIO
from ..layers.rope_scaling import RopeScaling
from ..layers.tokens import additive_mask, known_mask
from ..trunk import Body

BLOCKS: dict[str, Block] = {"next": NextBlock, "flag": FlagBlock}


class AudioDiT(Body):
    """A network on frames (B, C, T) of any length, `patch_size` of them a token, with RoPE along time.

    `operations` is as in Body.
    """

    config: AudioConfig
    proj_in: nn.Linear

    def __init__(self, config: AudioConfig, *, device=None, dtype=None, operations=nn):
        factory = {"device": device, "dtype": dtype}
        c, made = config, {"operations": operations, **factory}
        embedders: dict[str, nn.Module] = {"proj_in": operations.Linear(c.in_channels * c.patch_size, c.dim, **factory)}
        super().__init__(c, embedders, BLOCKS[c.block], shifts=c.block == "flag", pads=False, **made)
        self.axes = Axes((c.head_dim,), of_time=True)

    def forward(
        self,
        x: Tensor,
        t: Tensor,
        text: Tensor,
        text_mask: Tensor | None = None,
        *,
        mask: Tensor | None = None,
        rope: RopeScaling | None = None,
        attend: Attend | None = None,
    ) -> Tensor:
        """Return the velocity (B, C, T) at frames x (B, C, T) and t (B,), t = 0 noise, t = 1 data.

        text (B, L, text_dim); text_mask (B, L), true or 1 where a token counts, None if all do; mask (B, T) where a
        frame does, in a batch of several lengths. Odd lengths are padded and cropped. `rope` has its factor and
        train_tokens along time. Computes in the weights' dtype, returns x's. Raises ValueError on a wrong channel
        count or width, and on a `rope` with a factor per axis.
        """
        dtype = self.proj_in.weight.dtype
        call = Call.of(t, self.config.n_layers, rope=rope, attend=attend)
        return self.velocity(x.to(dtype), t, text.to(dtype), known_mask(text_mask), call, known_mask(mask)).to(x.dtype)

    def velocity(
        self,
        x: Tensor,
        t: Tensor,
        text: Tensor,
        text_mask: Tensor | None = None,
        call: Call = PLAIN_CALL,
        mask: Tensor | None = None,
    ) -> Tensor:
        """Do forward's work in x's dtype, for callers that cast weights themselves."""
        self.check(x.shape, text.shape[-1])
        p, length = self.config.patch_size, x.shape[-1]
        tokens = self.proj_in(rearrange(filled(x, p), "b c (n p) -> b n (c p)", p=p))
        grid = 1, tokens.shape[1]
        table = self.axes.table([torch.arange(grid[1], device=t.device)], call.scaling.thetas(self.axes, t))
        how = call.attending(table, text_mask, grid, x.dtype, self.axes)
        if mask is not None:
            counts = filled(mask.to(x.device, x.dtype).unsqueeze(1), p).unflatten(-1, (-1, p)).amax(-1).squeeze(1)
            how = replace(how, mask=additive_mask(counts, x.dtype))
        condition = self.condition(self.clock(t), text, text_mask, call)
        for run in runs(self.layers, condition, how, call, text=text):
            tokens = run(tokens)
        return rearrange(self.final_layer(tokens, condition), "b n (c p) -> b c (n p)", p=p)[..., :length]

    def clock(self, t: Tensor) -> Tensor:
        """Return times (B,) as the network reads them: as they are, or the number of the step (reference code)."""
        steps = self.config.time_steps
        return (t.float() * steps + 1e-3).floor() if steps else t  # 0.29 · 1000 is 289.99998 in float32


def filled(x: Tensor, patch_size: int) -> Tensor:
    """Repeat the last frame of x (B, C, T) until the frames make whole patches."""
    missing = -x.shape[-1] % patch_size
    return torch.cat([x, x[..., -1:].expand(*x.shape[:-1], missing)], dim=-1) if missing else x


def audio_key(key: str) -> str:
    """Return our module's name for a key of the released layout, where layers are called blocks."""
    return model_key(re.sub(r"^blocks\.", "layers.", key))


def released_key(key: str) -> str:
    """Undo `audio_key`."""
    return re.sub(r"^layers\.", "blocks.", reference_key(key))


def _layouts() -> tuple[Layout, ...]:
    gates = ("blocks.0.attention.gate", f"blocks.0.attention.{GATE}", f"layers.0.attention.{GATE}")
    texts = (gate.partition(".attention")[0] + ".attention.wk_y.weight" for gate in gates)
    return tuple(
        Layout("reference", ("proj_in.weight", text, gate), audio_key) for text, gate in zip(texts, gates, strict=True)
    )


FAMILY = Family(
    "audio",
    title="a text-to-audio Next-DiT or Flag-DiT (Lumina-T2Audio, Lumina-T2Music, Make-An-Audio 3)",
    kind="text to audio",
    kind_of=lambda config: config.title,
    config=AudioConfig,
    network=AudioDiT,
    layouts=_layouts(),
    infer=AudioConfig.infer,
    metadata=AudioConfig.about,
    facts=NUMBERS,
    texts=FLOATS,
    reference=released_key,
    native=lambda config: AUDIO,
    pictures=False,
)
