"""Floating-point operations of one call of the network, by formula; only matrix products count, as is the custom."""

from math import ceil

from ...nextdit import NextDiTConfig
from ...nextdit.layers.embedders import PlaceEmbedder


def step_flops(
    config: NextDiTConfig, grid: tuple[int, int], text: int, batch: int = 1, dropped_layers: int = 0, window: int = 2
) -> int:
    """Return the operations of `batch` images of (rows, columns) tokens with `text` tokens of text each.

    In the first `dropped_layers` layers keys and values are averaged over `window`×`window` tokens.
    A product (m, k) × (k, n) is 2·m·k·n; attention is two of them. Tested against torch's own counter.
    """
    c, tokens, p2 = config, grid[0] * grid[1], config.patch_size**2
    kv = c.n_kv_heads * c.head_dim
    pooled = ceil(grid[0] / window) * ceil(grid[1] / window)
    condition = c.time_frequencies * c.time_dim + c.time_dim**2 + c.text_dim * c.time_dim
    ends = tokens * c.dim * p2 * (c.in_channels + c.out_channels) + c.time_dim * c.dim
    layer = (
        c.time_dim * 4 * c.dim  # modulation
        + tokens * c.dim * (2 * c.dim + 2 * kv)  # query, output, key, value
        + text * c.text_dim * 2 * kv
        + 2 * tokens * text * c.dim  # attention to the text
        + 3 * tokens * c.dim * c.ffn_dim
    )
    self_attention = 2 * tokens * c.dim * (dropped_layers * pooled + (c.n_layers - dropped_layers) * tokens)
    return 2 * batch * (condition + ends + c.n_layers * layer + self_attention)


def views_flops(config: NextDiTConfig, grid: tuple[int, int], frames: int, text: int) -> int:
    """Return the operations of one set of `frames` frames, a condition image counted, of a multi-view Next-DiT.

    Frames cost what images do, but attend to the tokens of all frames; the text's keys and values are made once.
    """
    c, tokens = config, grid[0] * grid[1]
    others = 2 * tokens * (frames - 1) * tokens * c.dim
    text_again = (frames - 1) * text * c.text_dim * 2 * c.n_kv_heads * c.head_dim
    azimuth = frames * (2 * c.time_dim + c.time_dim**2)
    pooled_again = (frames - 1) * c.text_dim * c.time_dim
    more = c.n_layers * (frames * others - text_again) + azimuth - pooled_again
    return step_flops(c, grid, text, batch=frames) + 2 * more


def video_flops(config: NextDiTConfig, grid: tuple[int, int], frames: int, text: int, window: int | None = None) -> int:
    """Return the operations of one clip of a video Next-DiT, each frame of which attends to `window` frames, or to all.

    Frames cost what images do, but attend to the tokens of others; the text's keys and values are made once.
    """
    c, tokens = config, grid[0] * grid[1]
    seen = frames if window is None else min(window, frames)
    others = 2 * tokens * (seen - 1) * tokens * c.dim
    text_again = (frames - 1) * text * c.text_dim * 2 * c.n_kv_heads * c.head_dim
    places = frames * (PlaceEmbedder.WAVES * c.time_dim + c.time_dim**2)
    pooled_again = (frames - 1) * c.text_dim * c.time_dim
    return step_flops(c, grid, text, batch=frames) + 2 * (
        c.n_layers * (frames * others - text_again) + places - pooled_again
    )
