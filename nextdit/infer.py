"""The architecture of a network, read off the shapes of its weights."""

import re
from typing import Any

from .config import NextDiTConfig
from .family import Shapes
from .keys import GATE
from .quantised import filled_to, quantised_modules

PART = "one part of several: give all parts their names, consolidated.00-of-02 and so on, in a folder of their own"
"""What a file may be whose matrices do not fit what is as wide in every part."""


def infer_config(
    shapes: Shapes, kind: type[NextDiTConfig] = NextDiTConfig, norm: str = "layers.0.attention_norm1.weight"
) -> Any:
    """Read the architecture of a text-conditioned network on pictures off the shapes of weights named as our modules.

    `kind` is its config's class, `norm` a norm as wide as its tokens. Raises ValueError as `infer_body`.
    """
    return kind(**infer_body(shapes, norm), **infer_pictures(shapes))


def infer_pictures(shapes: Shapes) -> dict[str, Any]:
    """Read channels and patch size of a network on pictures. Raises ValueError as `infer_body` and `split_patch`."""
    inputs, outputs = shape_of("x_embedder.weight", shapes)[1], shape_of("final_layer.linear.bias", shapes)[0]
    packed = "x_embedder" in quantised_modules(shapes)
    in_channels, patch_size = split_patch(patch_inputs(outputs) if packed else inputs)
    return {"in_channels": in_channels, "out_channels": outputs // patch_size**2, "patch_size": patch_size}


def shape_of(key: str, shapes: Shapes) -> tuple[int, ...]:
    """Return the shape of a weight that tells the architecture. Raises ValueError if it is missing."""
    if key not in shapes:
        raise ValueError(f"{key} is missing, which tells the architecture")
    return tuple(shapes[key])


def infer_body(shapes: Shapes, norm: str = "layers.0.attention_norm1.weight") -> dict[str, Any]:
    """Read what every text-conditioned network has, whatever its tokens are made of; `norm` is as wide as they are.

    Raises ValueError as `infer_layers`.
    """
    heads = shape_of(f"layers.0.attention.{GATE}", shapes)[0]
    return infer_layers(shapes, norm, heads) | {"text_dim": shape_of("cap_embedder.0.weight", shapes)[0]}


def infer_layers(shapes: Shapes, norm: str, n_heads: int, feed_forward: str = "feed_forward") -> dict[str, Any]:
    """Read what every config has off the shapes of weights named as our modules.

    `feed_forward` is the name of one of a layer's. A quantised matrix may be stored packed or filled up: where one is,
    vectors and plain matrices tell. Raises ValueError if a weight that tells it is missing or the sizes do not fit
    together.
    """
    packed = quantised_modules(shapes)

    def shape(key: str) -> tuple[int, ...]:
        return shape_of(key, shapes)

    n_layers = 1 + max((int(m[1]) for key in shapes if (m := re.match(r"layers\.(\d+)\.", key))), default=0)

    def side(*names: tuple[str, int]) -> tuple[int, int]:
        """Return the length of a side that matrices share in every layer, and the multiple it may be filled up to."""
        places = [(f"layers.{n}.{name}", axis) for n in range(n_layers) for name, axis in names]
        multiples = [
            1 if module not in packed else filled_to(module, shapes) if axis == 0 else 0 for module, axis in places
        ]
        found = [n for n, (module, _) in enumerate(places) if multiples[n] == 1 and f"{module}.weight" in shapes]
        best = found[0] if found else 0
        return shape(f"{places[best][0]}.weight")[places[best][1]], multiples[best]

    frequencies = shape("t_embedder.mlp.0.weight")[1]
    if "t_embedder.mlp.0" in packed and 2 * frequencies == NextDiTConfig.time_frequencies:
        frequencies *= 2  # two numbers to a byte
    dim = shape(norm)[0]
    kv_dim, multiple = side(*((f"attention.{name}", 0) for name in ("wk", "wv", "wk_y", "wv_y")))
    qk_norm = "layers.0.attention.q_norm.weight" in shapes
    if multiple > 1 and qk_norm:
        kv_dim = shape("layers.0.attention.k_norm.weight")[0]
    elif multiple > 1:
        kv_dim = unfilled(kv_dim, multiple, dim // n_heads, n_heads)
    if not kv_dim * n_heads // dim or kv_dim * n_heads % dim:
        raise ValueError(
            f"its keys have {kv_dim} rows, which is no whole number of heads of {dim / n_heads:g}; it is damaged, or "
            f"{PART}"
        )
    return dict(
        dim=dim,
        n_layers=n_layers,
        n_heads=n_heads,
        n_kv_heads=kv_dim * n_heads // dim,
        ffn_dim=side((f"{feed_forward}.w1", 0), (f"{feed_forward}.w3", 0), (f"{feed_forward}.w2", 1))[0],
        time_dim=shape("t_embedder.mlp.0.bias")[0],
        time_frequencies=frequencies,
        qk_norm=qk_norm,
    )


def unfilled(rows: int, multiple: int, head_dim: int, n_heads: int) -> int:
    """Return the rows that key heads have in a quantised matrix, which is filled up to `rows`, a multiple.

    Raises ValueError if several numbers of heads, or none, would be filled up so.
    """
    sizes = [n * head_dim for n in range(1, n_heads + 1) if n_heads % n == 0]
    fits = [size for size in sizes if -(-size // multiple) * multiple == rows]
    if len(fits) != 1:
        raise ValueError(
            f"the quantised keys have {rows} rows, which {len(fits)} numbers of heads of {head_dim} could have: use "
            "the file that is not quantised"
        )
    return fits[0]


def patch_inputs(outputs: int) -> int:
    """Return the inputs per token of a network with as many outputs, or with half of them a variance head."""
    return next((n for n in (outputs, outputs // 2) if fitting_patch(n)), outputs)


def split_patch(features: int) -> tuple[int, int]:
    """Tell (channels, patch size) from the inputs per token: 4 (SDXL), 16 (FLUX) or 3 channels (pixels).

    The smallest patch size that fits one of them wins. Raises ValueError if none does.
    """
    found = fitting_patch(features)
    if found is None:
        raise ValueError(f"x_embedder takes {features} numbers per token, which fits no known channel count (3, 4, 16)")
    return found


def fitting_patch(features: int) -> tuple[int, int] | None:
    """Return (channels, patch size) as `split_patch`, None if nothing fits."""
    for patch_size in (2, 4, 8, 16, 1):
        for channels in (4, 16, 3):
            if channels * patch_size**2 == features:
                return channels, patch_size
    return None
