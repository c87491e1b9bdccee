"""ComfyUI's own models: Z-Image, Qwen-Image, Krea 2 and Wan."""

from ..spec import Box, Template, column, note, picture
from .official import HUB, PROMPT, SIZE, TESTED
from .parts import together

Z_IMAGE = f"{HUB}/Comfy-Org/z_image_turbo/resolve/main/split_files"
Z_LINKS = {
    "1": (f"{Z_IMAGE}/diffusion_models/z_image_turbo_bf16.safetensors", "diffusion_models"),
    "2": (f"{Z_IMAGE}/text_encoders/qwen_3_4b.safetensors", "text_encoders"),
    "3": (f"{Z_IMAGE}/vae/ae.safetensors", "vae"),
}
Z_BASE = f"{HUB}/Comfy-Org/z_image/resolve/main/split_files/diffusion_models/z_image_bf16.safetensors"
Z_BASE_LINKS = Z_LINKS | {"1": (Z_BASE, "diffusion_models")}
QWEN = f"{HUB}/Comfy-Org/Qwen-Image_ComfyUI/resolve/main/split_files"
QWEN_LINKS = {
    "1": (f"{QWEN}/diffusion_models/qwen_image_fp8_e4m3fn.safetensors", "diffusion_models"),
    "2": (f"{QWEN}/text_encoders/qwen_2.5_vl_7b_fp8_scaled.safetensors", "text_encoders"),
    "3": (f"{QWEN}/vae/qwen_image_vae.safetensors", "vae"),
}
KREA = f"{HUB}/Comfy-Org/Krea-2/resolve/main"
KREA_LINKS = {
    "1": (f"{KREA}/diffusion_models/krea2_turbo_fp8_scaled.safetensors", "diffusion_models"),
    "2": (f"{KREA}/text_encoders/qwen3vl_4b_fp8_scaled.safetensors", "text_encoders"),
    "3": (f"{KREA}/vae/qwen_image_vae.safetensors", "vae"),
}
WAN = f"{HUB}/Comfy-Org/Wan_2.1_ComfyUI_repackaged/resolve/main/split_files"
WAN_LINKS = {
    "1": (f"{WAN}/diffusion_models/wan2.1_t2v_1.3B_fp16.safetensors", "diffusion_models"),
    "2": (f"{WAN}/text_encoders/umt5_xxl_fp8_e4m3fn_scaled.safetensors", "text_encoders"),
    "3": (f"{WAN}/vae/wan_2.1_vae.safetensors", "vae"),
}
Z_FILES = {"model": "1.unet_name", "text encoder": "2.clip_name", "vae": "3.vae_name"}


def downloads(links: dict[str, tuple[str, str]]) -> str:
    """Return the lines of a note that say which files belong where."""
    lines = (f"- {folder}: [{link.rpartition('/')[2]}]({link})" for link, folder in links.values())
    return "\n".join(["**Files**, under ComfyUI's models folder:", "", *lines])


def second_pass(enlarge: int, sampler: int, decoder: int) -> Box:
    """Return the box of a larger second pass, by its nodes' ids."""
    shown = {"enlarge": f"{enlarge}.scale_by"} | together(sampler) | {"denoise": f"{sampler}.denoise"}
    return Box("Second pass", f"{enlarge} {sampler} {decoder}", shown)


TEMPLATES = (
    Template(
        api="official_z_image_2k",
        title="Official - Z-Image at 3K",
        note=f"""{downloads(Z_LINKS)}

Z-Image is at home up to 2048 × 2048: there **Scaled RoPE** changes nothing, and says so. This graph starts where that
ends. **Context Drop** lets image tokens look at fewer keys while the picture is still noise.

Z-Image-Turbo, set here, is shown by its makers up to 1536 × 1536: for that and a little more set *train_size* to
1536. Bypass either node to see what it does.

{TESTED}""",
        columns=(
            note(
                Box("Model and prompt", "1-6", {"prompt": "4.text"} | SIZE | Z_FILES),
                width=400,
            ),
            column("7", width=280),
            column("8", width=260),
            column(Box("Paint", "9-11", together(10) | {"shift": "9.shift"}), width=260),
            picture("12", width=460),
        ),
        card="2048 3072 Z-Image",
        links=Z_LINKS,
    ),
    Template(
        api="official_z_image_variety",
        title="Official - Z-Image seeds that differ",
        note=f"""{downloads(Z_LINKS)}

Z-Image-Turbo draws much the same picture for every seed, as distilled models do. **Seed Variety** begins each seed on a
trace of a colour of its own, so that the four pictures part. *Strength* 0.01 to 0.03: more parts them further, and at
some point objects go wrong. Bypass the node to see what it does.

Measured on a small distilled model, not on this one.

{TESTED}""",
        columns=(
            note(Box("Model and prompt", "1-6", {"prompt": "4.text"} | SIZE | Z_FILES), width=400),
            column("7", Box("Paint", "8-10", together(9) | {"shift": "8.shift"}), width=280),
            picture("11", width=560),
        ),
        card="1024 4 seeds",
        links=Z_LINKS,
    ),
    Template(
        api="official_z_image_4k",
        title="Official - Z-Image 2K to 4K",
        note=f"""{downloads(Z_LINKS)}

The first pass composes at 2048, where Z-Image is at home, the second one draws the detail at 4096. **Scaled RoPE**
stretches the positions in the second pass, so that it sees one large picture and not four; decoding in tiles keeps its
memory small.

*Denoise* of the second pass: 0.3 keeps the first picture, 0.5 paints more that is new. With Z-Image-Turbo, set here,
begin at 1536 × 1536 if 2048 shows doubled things: its makers show it up to that.

{TESTED}""",
        columns=(
            note(Box("Model and prompt", "1-5 7", {"prompt": "4.text"} | Z_FILES | {"shift": "7.shift"}), width=400),
            column(Box("First pass", "6 8", SIZE | together(8)), "10", width=280),
            column(second_pass(9, 11, 12), width=280),
            picture("13", width=560),
        ),
        card="2048 4096 Z-Image",
        links=Z_LINKS,
        app=("prompt", "width", "height", "enlarge", "denoise"),
    ),
    Template(
        api="official_z_image_train_lora",
        title="Official - Train a LoRA for Z-Image",
        note=f"""{downloads(Z_BASE_LINKS)}

**Your pictures**: 10 to 50 in input/my_style, *cat.png* with its caption in *cat.txt*. Each caption says what is to be
seen, and the style by a word of its own. Choose the folder after reloading the page.

**Memory**, counted: 15 GiB at one megapixel, 13 at a quarter of it, and what CUDA takes besides: with 16 GB set
*megapixels* to 0.25. Leave *checkpoint_depth* at 2: at 1, the node's own default, it would take 79 GiB.

The file goes to output/loras; move it to models/loras. It works on Z-Image and on Z-Image-Turbo.

{TESTED}""",
        columns=(
            note(width=380),
            column(
                Box(
                    "Model and pictures",
                    "1-7",
                    {"folder": "4.folder", "megapixels": "5.megapixels"} | Z_FILES,
                ),
                width=270,
            ),
            column("8", "9", width=260),
            column(
                Box("With the LoRA", "10-16", {"prompt": "12.text", "width": "14.width", "height": "14.height"}),
                width=260,
            ),
            picture("17", width=400),
        ),
        card="1024 Z-Image LoRA",
        links=Z_BASE_LINKS,
    ),
    Template(
        api="official_qwen_image",
        title="Official - Qwen-Image at twice its size",
        note=f"""{downloads(QWEN_LINKS)}

The first pass composes at 1328, where Qwen-Image is at home, the second one draws the detail at 2656. **Scaled RoPE**
stretches the positions in the second pass, so that it sees one large picture and not four; decoding in tiles keeps its
memory small.

Qwen-Image 2.1 is at home up to 2048, and the node knows that: begin there.

{TESTED}""",
        columns=(
            note(Box("Model and prompt", "1-5 7", PROMPT | Z_FILES | {"shift": "7.shift"}), width=400),
            column(Box("First pass", "6 8", SIZE | together(8)), "10", width=280),
            column(second_pass(9, 11, 12), width=280),
            picture("13", width=560),
        ),
        card="1328 2656 Qwen-Image",
        links=QWEN_LINKS,
        app=("prompt", "width", "height", "enlarge", "denoise"),
    ),
    Template(
        api="official_krea_2",
        title="Official - Krea 2 Turbo 2K to 4K",
        note=f"""{downloads(KREA_LINKS)}

The first pass composes at 2048, where Krea 2 is at home, the second one draws the detail at 4096. **Scaled RoPE**
stretches the positions in the second pass, so that it sees one large picture and not four; decoding in tiles keeps its
memory small.

*Denoise* of the second pass: 0.3 keeps the first picture, 0.5 paints more that is new. For a try, begin at 1024 × 1024:
up to 2048, Scaled RoPE changes nothing and says so.

{TESTED}""",
        columns=(
            note(Box("Model and prompt", "1-5", {"prompt": "4.text"} | Z_FILES), width=400),
            column(Box("First pass", "6 7", SIZE | together(7)), "9", width=280),
            column(second_pass(8, 10, 11), width=280),
            picture("12", width=560),
        ),
        card="2048 4096 Krea-2",
        links=KREA_LINKS,
        app=("prompt", "width", "height", "enlarge", "denoise"),
    ),
    Template(
        api="official_z_image_regions",
        title="Official - Z-Image regions",
        note=f"""{downloads(Z_LINKS)}

**Regional Prompt** gives each half of the picture a prompt of its own. For the first steps the halves are drawn apart,
so that each thing stands in its place; then attention makes them one picture, in which each half still hears its own
prompt. *Areas until* says when that changes, 0 is attention alone. *Global weight* is how much of the prompt of the
whole picture the halves hear.

**Grid Mask** makes the halves; painted masks do as well. The same nodes work with Lumina-Image-2.0, Qwen-Image, Krea 2,
FLUX and Chroma.

{TESTED}""",
        columns=(
            note(Box("Model and prompt", "1-6", {"prompt": "4.text"} | SIZE | Z_FILES), width=400),
            column(
                Box(
                    "Two Regions",
                    "7-12",
                    {
                        "left prompt": "7.text",
                        "right prompt": "10.text",
                        "soft edge": "8.feather 11.feather",
                        "strength": "9.strength 12.strength",
                        "global weight": "9.global_weight 12.global_weight",
                        "areas until": "9.areas_until 12.areas_until",
                    },
                ),
                width=320,
            ),
            column(Box("Paint", "13-15", together(14) | {"shift": "13.shift"}), width=260),
            picture("16", width=460),
        ),
        card="1024 Z-Image regions",
        links=Z_LINKS,
    ),
    Template(
        api="official_wan",
        title="Official - Wan, one prompt after another",
        note=f"""{downloads(WAN_LINKS)}

A prompt for each half of the five seconds, in one clip: **Timed Prompt** says when it applies, from 0, the beginning,
to 1, the end; *fade* lets one pass into the next. The global prompt says what the whole is: put the same subject and
place into all three.

*areas_until*: for the first 0.3 of the sampling each half is a clip of its own, then attention makes them one. Set it
to 0 where the cut between the halves shows.

The nodes work with Wan 2.1 and 2.2, from text or from an image, without VACE and camera control. Measured on this
pack's own small video model, not on this one.

{TESTED}""",
        columns=(
            note(
                Box(
                    "Model and prompts",
                    "1-7 10",
                    {
                        "global prompt": "4.text",
                        "first prompt": "5.text",
                        "second prompt": "6.text",
                        "length": "10.length",
                        "width": "10.width",
                        "height": "10.height",
                    }
                    | Z_FILES,
                ),
                width=400,
            ),
            column("8", "9", width=300),
            column(Box("The clip", "11-14", {**together(12), "shift": "11.shift", "fps": "14.fps"}), width=280),
            picture("15", width=460),
        ),
        card="832 Wan, two prompts",
        links=WAN_LINKS,
    ),
)
