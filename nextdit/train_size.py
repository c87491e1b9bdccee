"""The image sizes that a model is at home with: what is asked for, what its file says, what its makers say.

One rule for everyone who scales positions; it knows no default, since a wrong size spoils pictures in silence.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from .layers.rope_scaling import scale_factor

METADATA_KEY, FRAMES_KEY = "train_tokens", "train_frames"
LEAST = 7  # RoPE scaling compares the training size with 2π
ROUNDED = 1.03  # the area of 2400 × 1792, which Qwen-Image-2.1's makers name beside 2048 × 2048, is 1.025 times that


@dataclass(frozen=True)
class Published:
    """What the makers of a family of models say of its sizes: the largest square in pixels, and where they say it.

    With `any_aspect` every image of that area or less is native, however long, and a little more, since makers round
    the sides of theirs; else no side may be longer than the square's. Smaller images are native too: positions of
    theirs are among those of larger ones.
    """

    name: str
    pixels: int
    any_aspect: bool
    source: str


NATIVE = {
    "lumina_next": Published("Lumina-Next", 1024, False, "arXiv 2406.18583, section 2.3; demos of the reference code"),
    "lumina_t2i": Published("Lumina-T2I", 1024, True, "demo of the reference code: 1024², 512 × 2048, 2048 × 512"),
    "imagenet": Published("Next-DiT on ImageNet", 256, False, "arXiv 2406.18583, section 3.1; the reference code"),
    "flag_dit": Published("Flag-DiT on ImageNet", 256, True, "arXiv 2405.05945, section 3.1; the reference code"),
    "lumina_image_2": Published("Lumina-Image-2.0", 1024, False, "arXiv 2503.21758; README of Lumina-Image-2.0"),
    # Z-Image-Turbo has the same weights by name and shape, so nothing in a file tells it from the base model. Its
    # makers' demo goes to 1536 × 1536 and 2048 × 1152; whoever wants scaling from there on asks for 1536.
    "z_image": Published(
        "Z-Image", 2048, True, "README of Tongyi-MAI/Z-Image: 512² to 2048² in area, any aspect ratio"
    ),
    "ming_image": Published("Ming-Image", 2048, False, "the standard size in ComfyUI's own workflow"),
    "flux_1": Published("FLUX.1", 1408, True, "its announcement, bfl.ai: any aspect ratio up to 2 megapixels"),
    "flux_2": Published("FLUX.2", 2048, True, "help.bfl.ai, aspect ratios: any, up to 4 megapixels"),
    "chroma": Published("Chroma", 1024, True, "the size in ComfyUI's own workflow"),
    "qwen_image": Published("Qwen-Image", 1328, True, "README of Qwen-Image: 1328 × 1328, 1664 × 928 and others"),
    "qwen_image_21": Published(
        "Qwen-Image-2.1", 2048, True, "docs.comfy.org: up to 2048 × 2048; 2752 × 1536 and others"
    ),
    "mage_flow": Published("Mage-Flow", 2048, False, "docs.comfy.org, Mage-Flow: sides of 512 to 2048 pixels"),
    "lens": Published("Lens", 1440, True, "README of microsoft/Lens: 1:2 to 2:1 and up to 1440 × 1440"),
    "krea_2": Published("Krea 2", 2048, True, "where its Turbo model is offered: 1K and 2K, 9:16 to 21:9"),
    "omnigen_2": Published("OmniGen2", 1024, True, "README of OmniGen2: max_pixels 1024 × 1024"),
    # its Turbo, shown at 1024 × 1024 alone, has the same weights by name and shape: ask for 1024
    "boogu_image": Published("Boogu-Image", 2048, True, "README of Boogu-Image: 1K, 1.5K, 2K; 1:2 to 2:1"),
    "hidream_i1": Published("HiDream-I1", 1024, True, "README of HiDream-I1: 1024 × 1024, 1360 × 768 and others"),
    "ernie_image": Published("ERNIE-Image", 1024, True, "Baidu's API: 1024 × 1024, 1376 × 768 and others"),
    "hunyuan_image": Published("HunyuanImage-2.1", 2048, True, "its README: 2048 × 2048, 2560 × 1536 and others"),
    "hunyuan_video": Published("HunyuanVideo", 960, True, "README of HunyuanVideo and 1.5: up to 720p, 1280 × 720"),
    "wan": Published("Wan", 960, True, "README of Wan2.1 and 2.2: up to 720p, 1280 × 720"),
    "kandinsky_image": Published("Kandinsky 5 Image", 1024, True, "its sizes: 1024 × 1024, 1408 × 640 and others"),
}


@dataclass(frozen=True)
class NativeSize:
    """Where a model's native sizes end: `tokens` per side of the largest square, `any_aspect` as in `Published`."""

    tokens: int
    any_aspect: bool = False

    def factor(self, grid: tuple[int, int], per_axis: bool = False) -> float | tuple[float, ...] | None:
        """Return how many times past its native size a grid of (rows, columns) tokens is, None within it.

        One number by area, or one an axis, as `scale_factor` has them.
        """
        if self.any_aspect and math.prod(grid) <= ROUNDED * self.tokens**2:
            return None
        factor = scale_factor(grid, self.tokens, per_axis)
        return None if factor in (1.0, (1.0, 1.0)) else factor


def train_tokens(metadata: Mapping[str, str] | None) -> int | None:
    """Return the tokens per side in a safetensors file's metadata, None if it has none. ValueError if it is no size."""
    text = (metadata or {}).get(METADATA_KEY)
    if text is None:
        return None
    if not (text.isascii() and text.isdecimal()) or int(text) < LEAST:
        raise ValueError(
            f"the file's metadata says {METADATA_KEY} = {text!r}; expected a whole number of tokens per side, "
            f"{LEAST} or more: write the file again without it, or with the right one"
        )
    return int(text)


def train_frames(metadata: Mapping[str, str] | None) -> int | None:
    """Return the frames of a training clip in a file's metadata, None if it has none. ValueError if it is no number."""
    text = (metadata or {}).get(FRAMES_KEY)
    if text is None:
        return None
    if not (text.isascii() and text.isdecimal()) or int(text) < 1:
        raise ValueError(
            f"the file's metadata says {FRAMES_KEY} = {text!r}; expected a whole number of frames, 1 or more: write "
            "the file again without it, or with the right one"
        )
    return int(text)


def native_size(
    family: str | None, token_pixels: int, told: int | None = None, asked: int = 0, option: str = "train_size"
) -> NativeSize:
    """Return a model's native size: `asked` in pixels (0 for none), else `told` in tokens, else its family's.

    `family` is a key of NATIVE, None where the makers say nothing (models in pixel space come in any size);
    `token_pixels` is the width of a token in pixels, `told` what `train_tokens` read, `option` what people set `asked`
    by. Raises ValueError for a size too small, and if nothing is known.
    """
    known = NATIVE.get(family or "")
    any_aspect = known is not None and known.any_aspect
    if asked:
        tokens = round(asked / token_pixels)
        if tokens < LEAST:
            raise ValueError(
                f"{option} is {asked} pixels, which are {tokens} tokens of {token_pixels} pixels; expected at least "
                f"{LEAST * token_pixels} pixels: the size that the model was trained on"
            )
        return NativeSize(tokens, any_aspect)
    if told:
        return NativeSize(told, any_aspect)
    if known is None:
        raise ValueError(
            f"this model's file does not say on which image size it was trained: set {option} to that size, in pixels"
        )
    return NativeSize(known.pixels // token_pixels, any_aspect)
