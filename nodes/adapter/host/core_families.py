"""ComfyUI's own families of networks that the patch nodes know, as data: where positions and attention are.

Nothing is taken from a network that is not in this table: one whose sequence is another would be scaled at the wrong
tokens without an error. Widths and base of the axes are read from the embedder. Sizes are in nextdit/train_size.py.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from torch import nn

from .core_family import CoreFamily
from .core_sequence import Causal, Conds, Joint, NextDiTSequence, Video, said_patch
from .core_tables import HEADS_LAST, SPLIT_HALVES

TEXT_ROWS_COLUMNS = ("text", "rows", "columns")
TIME_ROWS_COLUMNS = ("time", "rows", "columns")
MODULES = "comfy.ldm."


def _next_dit(config: Mapping[str, Any]) -> str | None:
    match config.get("image_model"):
        case "lumina2":
            return "z_image" if config.get("z_image_modulation") else "lumina_image_2"
        case "ming_image" as family:
            return family
    return None  # Z-Image in pixel space, and what a newer ComfyUI may load by the same class


def _refiner(network: Any) -> range:
    return range(len(network.context_refiner))


def _refiners(conds: Conds) -> tuple[str, ...]:
    features = ("siglip_refiner",) if conds.get("ref_latents") else ()
    return ("context_refiner", *features, "noise_refiner")


def _flux(config: Mapping[str, Any]) -> str | None:
    return {"flux": "flux_1", "flux2": "flux_2"}.get(config.get("image_model", ""))


def _text_fusion(network: Any) -> range:
    first = len(network.txtfusion.layerwise_blocks)  # which attend over the text encoder's layers
    return range(first, first + len(network.txtfusion.refiner_blocks))


def _kandinsky(config: Mapping[str, Any]) -> str | None:
    return "kandinsky_image" if config.get("model_dim") == 2560 else None


def _hunyuan(config: Mapping[str, Any]) -> str | None:
    patch, newer = config["patch_size"], config.get("vision_in_dim") is not None
    if (newer and config["in_channels"] == 98) or (not newer and list(patch) == [1, 1, 1]):
        return None  # they paint over what another model of theirs made, larger
    return "hunyuan_image" if len(patch) == 2 else "hunyuan_video"


def _counts_text_in_rows(network: Any) -> bool:
    return bool({1, 2} & {*getattr(network.params, "txt_ids_dims", ())})  # LongCat-Image is core's Flux too


def _image_first(network: Any) -> bool:
    return getattr(network.double_blocks[0], "flipped_img_txt", False)  # HunyuanVideo in older releases of ComfyUI


def _names(*names: str) -> tuple[str, ...]:
    return tuple(MODULES + name for name in names)


TWO_ENCODERS = "its text comes from two encoders"
FLUX_STACKS = (("double", "double_blocks"), ("single", "single_blocks"))
FAMILIES = (
    CoreFamily(
        "Lumina-Image-2.0, NewBie, Z-Image and Ming-Image",
        _names("lumina.model.NextDiT"),
        "rope_embedder",
        TEXT_ROWS_COLUMNS,
        NextDiTSequence(),
        _next_dit,
        (("double", "layers"),),
        subclasses=True,  # Z-Image in pixel space
        text_calls=_refiner,
        unnamed=_refiners,
    ),
    CoreFamily(
        "FLUX.1",
        _names("flux.model.Flux"),
        "pe_embedder",
        TEXT_ROWS_COLUMNS,
        Joint(references="ref_latents"),
        _flux,
        FLUX_STACKS,
        other=_counts_text_in_rows,
    ),
    CoreFamily(
        "FLUX.2",
        _names("flux.model.Flux"),
        "pe_embedder",
        ("references", "rows", "columns", "text"),
        Joint(references="ref_latents"),
        _flux,
        FLUX_STACKS,
        other=_counts_text_in_rows,
    ),
    CoreFamily(
        "Chroma",
        _names("chroma.model.Chroma", "chroma_radiance.model.ChromaRadiance"),
        "pe_embedder",
        TEXT_ROWS_COLUMNS,
        Joint(),
        lambda config: "chroma",
        FLUX_STACKS,
    ),
    CoreFamily(
        "Qwen-Image",
        _names("qwen_image.model.QwenImageTransformer2DModel"),
        "pe_embedder",
        TEXT_ROWS_COLUMNS,
        Joint(references="ref_latents"),
        lambda config: "qwen_image",
        (("double", "transformer_blocks"),),
    ),
    CoreFamily(
        "Qwen-Image-2.1",
        _names("qwen_image21.model.QwenImage21Transformer2DModel"),
        "pe_embedder",
        TEXT_ROWS_COLUMNS,
        Causal(),
        lambda config: "qwen_image_21",
        (("single", "transformer_blocks"),),
    ),
    CoreFamily(
        "Mage-Flow",
        _names("mage_flow.model.MageFlowTransformer2DModel"),
        "pe_embedder",
        TEXT_ROWS_COLUMNS,
        Joint(references="ref_latents"),
        lambda config: "mage_flow",
        (("double", "transformer_blocks"),),
    ),
    CoreFamily(
        "Krea 2",
        _names("krea2.model.SingleStreamDiT"),
        "pe_embedder",
        TEXT_ROWS_COLUMNS,
        Joint(references="ref_latents", frames_apart=True),
        lambda config: "krea_2",
        (("single", "blocks"),),
        text_calls=_text_fusion,
    ),
    CoreFamily(
        "Lens",
        _names("lens.model.LensTransformer2DModel"),
        "pos_embed",
        TEXT_ROWS_COLUMNS,
        Joint(first=True, patch=1),
        lambda config: "lens",
        (("double", "transformer_blocks"),),
        one_text="its picture stands in front of its text",
    ),
    CoreFamily(
        "HunyuanImage-2.1",
        _names("hunyuan_video.model.HunyuanVideo"),
        "pe_embedder",
        ("rows", "columns"),
        Joint(),
        _hunyuan,
        FLUX_STACKS,
        one_text=TWO_ENCODERS,
        other=_image_first,
    ),
    CoreFamily(
        "HunyuanVideo",
        _names("hunyuan_video.model.HunyuanVideo"),
        "pe_embedder",
        TIME_ROWS_COLUMNS,
        Joint(),
        _hunyuan,
        FLUX_STACKS,
        one_text=TWO_ENCODERS,
        other=_image_first,
    ),
    CoreFamily(
        "OmniGen2",
        _names("omnigen.omnigen2.OmniGen2Transformer2DModel"),
        "rope_embedder.rope_embedder",
        TEXT_ROWS_COLUMNS,
        Joint(),
        lambda config: "omnigen_2",
        closed="its network does not run wrappers",
    ),
    CoreFamily(
        "Boogu-Image",
        _names("boogu.model.BooguTransformer2DModel"),
        "rope_embedder.rope_embedder",
        TEXT_ROWS_COLUMNS,
        Joint(),
        lambda config: "boogu_image",
        closed="its network does not run wrappers",
    ),
    CoreFamily(
        "HiDream-I1",
        _names("hidream.model.HiDreamImageTransformer2DModel"),
        "pe_embedder",
        TEXT_ROWS_COLUMNS,
        Joint(first=True, refused=("image_cond",)),
        lambda config: "hidream_i1",
        table=HEADS_LAST,
        closed="its network takes no further arguments",
    ),
    CoreFamily(
        "ERNIE-Image",
        _names("ernie.model.ErnieImageModel"),
        "pos_embed",
        TEXT_ROWS_COLUMNS,
        Joint(first=True),
        lambda config: "ernie_image",
        table=SPLIT_HALVES,
        closed="its attention does not get the options of other nodes",
    ),
    CoreFamily(
        "Wan",
        _names("wan.model.WanModel", "wan.model.VaceWanModel", "wan.model.CameraWanModel"),
        "rope_embedder",
        TIME_ROWS_COLUMNS,
        Video(),
        lambda config: "wan",
        (("double", "blocks"),),
        text_apart=True,
        heard_apart=_names("wan.model.WanModel"),
    ),
    CoreFamily(
        "Kandinsky 5",
        _names("kandinsky5.model.Kandinsky5"),
        "rope_embedder_3d",
        TIME_ROWS_COLUMNS,
        Video(),
        _kandinsky,
        (("double", "visual_transformer_blocks"),),
        text_apart=True,
    ),
)


def listed(families: Iterable[CoreFamily]) -> str:
    """Return the families' names in one phrase."""
    names = [family.name.replace(" and ", ", ") for family in families]
    return f"{', '.join(names[:-1])} and {names[-1]}"


def patch_of(network: nn.Module) -> int:
    """Return how many cells of the latent one token of a network, core's or ours, is wide."""
    family = family_of(network)
    return getattr(family and family.sequence, "patch", None) or said_patch(network)


def family_of(network: nn.Module) -> CoreFamily | None:
    """Return the family of one of core's networks, None if it is not known."""
    return next((family for family in FAMILIES if family.fits(network)), None)
