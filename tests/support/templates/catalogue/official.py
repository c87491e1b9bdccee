"""The weights of the paper, and Z-Image."""

from ..spec import Box, Template, column, note, picture
from .parts import FILES, together

HUB = "https://huggingface.co"
NETWORK = f"{HUB}/Alpha-VLLM/Lumina-Next-SFT/resolve/main/consolidated.00-of-01.safetensors"
DIFFUSERS = f"{HUB}/Alpha-VLLM/Lumina-Next-SFT-diffusers"
VAE = f"{HUB}/stabilityai/sdxl-vae/resolve/main/sdxl_vae.safetensors"
Z_IMAGE = f"{HUB}/Comfy-Org/z_image_turbo/resolve/main/split_files"
T2I, LLAMA = f"{HUB}/Alpha-VLLM/Lumina-T2I", f"{HUB}/meta-llama/Llama-2-7b-hf"
SD_VAE = f"{HUB}/stabilityai/sd-vae-ft-ema-original/resolve/main/vae-ft-ema-560000-ema-pruned.safetensors"
VAE_LINK = {"3": (VAE, "vae")}
LINKS = {"1": (NETWORK, "diffusion_models"), **VAE_LINK}
Z_LINKS = {
    "1": (f"{Z_IMAGE}/diffusion_models/z_image_turbo_bf16.safetensors", "diffusion_models"),
    "2": (f"{Z_IMAGE}/text_encoders/qwen_3_4b.safetensors", "text_encoders"),
    "3": (f"{Z_IMAGE}/vae/ae.safetensors", "vae"),
}
TESTED = "The weights could not be had where this was made: the graph is tested on small stand-ins."
DOWNLOADS = f"""**Files**, under ComfyUI's models folder:

- diffusion_models: [consolidated.00-of-01.safetensors]({NETWORK})
- vae: [sdxl_vae.safetensors]({VAE})
- text_encoders/gemma-2b: the folders [text_encoder]({DIFFUSERS}/tree/main/text_encoder) and
  [tokenizer]({DIFFUSERS}/tree/main/tokenizer), with all their files"""
Z_DOWNLOADS = f"""**Files**, under ComfyUI's models folder:

- diffusion_models: [z_image_turbo_bf16.safetensors]({Z_LINKS["1"][0]})
- text_encoders: [qwen_3_4b.safetensors]({Z_LINKS["2"][0]})
- vae: [ae.safetensors]({Z_LINKS["3"][0]})"""
Z_BASE = f"{HUB}/Comfy-Org/z_image/resolve/main/split_files/diffusion_models/z_image_bf16.safetensors"
QWEN = f"{HUB}/Comfy-Org/Qwen-Image_ComfyUI/resolve/main/split_files"
QWEN_LINKS = {
    "1": (f"{QWEN}/diffusion_models/qwen_image_fp8_e4m3fn.safetensors", "diffusion_models"),
    "2": (f"{QWEN}/text_encoders/qwen_2.5_vl_7b_fp8_scaled.safetensors", "text_encoders"),
    "3": (f"{QWEN}/vae/qwen_image_vae.safetensors", "vae"),
}
Z_FILES = {"model": "1.unet_name", "text encoder": "2.clip_name", "vae": "3.vae_name"}
FILES_3 = FILES | {"vae": "3.vae_name"}
PROMPT = {"prompt": "4.text", "negative prompt": "5.text"}
SIZE = {"width": "6.width", "height": "6.height"}


TEMPLATES = (
    Template(
        api="official_text_to_image",
        title="Official - Text to image",
        note=f"""{DOWNLOADS}

The 2B model with the settings of its demo: 1024 × 1024, time shift 4, midpoint, guidance 4 on three of the four
latent channels.

{TESTED}""",
        columns=(
            note(width=420),
            column(
                Box(
                    "Text to Image",
                    "1-13",
                    PROMPT | SIZE | {"seed": "9.noise_seed", "steps": "10.steps", "cfg": "8.cfg"} | FILES_3,
                ),
                width=400,
            ),
            picture("14", width=560),
        ),
        card="1024 Lumina-Next",
        links=LINKS,
    ),
    Template(
        api="official_2k",
        title="Official - 2K in one pass",
        note=f"""{DOWNLOADS}

The released code's settings for 2048 × 2048 on weights trained at 1024: **Scaled RoPE**, which at *auto* takes
interpolation before the watershed and a larger base after it, proportional attention, time shift 6, midpoint.

**Context Drop** spares attention a part of its work; bypass it for the released code to the letter.

{TESTED}""",
        columns=(
            note(Box("Model and prompt", "1-6", PROMPT | SIZE | FILES_3), width=400),
            column("7", width=280),
            column("8", width=260),
            column(Box("Paint", "9-15", {"seed": "11.noise_seed", "steps": "12.steps", "cfg": "10.cfg"}), width=260),
            picture("16", width=460),
        ),
        card="1024 2048 one pass",
        links=LINKS,
    ),
    Template(
        api="official_hires_fix",
        title="Official - 2K hires fix",
        note=f"""{DOWNLOADS}

The first pass composes at 1024, the second one draws the detail at 2048. **Scaled RoPE** stretches the positions in
the second pass; decoding in tiles keeps its memory small.

{TESTED}""",
        columns=(
            note(Box("Model and prompt", "1-5", PROMPT | FILES_3), width=400),
            column(Box("First pass", "6 7", SIZE | together(7)), "9", width=280),
            column(
                Box("Second pass", "8 10 11", {"enlarge": "8.scale_by"} | together(10) | {"denoise": "10.denoise"}),
                width=280,
            ),
            picture("12", width=560),
        ),
        card="1024 2048 two passes",
        links=LINKS,
    ),
    Template(
        api="official_diffusers_folder",
        title="Official - Diffusers folder",
        note=f"""**Files**, under ComfyUI's models folder:

- diffusers/Lumina-Next-SFT-diffusers: the folders transformer, text_encoder and tokenizer of
  [Lumina-Next-SFT-diffusers]({DIFFUSERS}/tree/main)
- vae: [sdxl_vae.safetensors]({VAE})

One repository holds model and text encoder. ComfyUI's own sampler does the rest: a time shift of 4 with the scheduler
*simple* is the demo's.

{TESTED}""",
        columns=(
            note(width=420),
            column(
                Box("Text to Image", "1-9", PROMPT | SIZE | together(8) | {"shift": "7.shift"} | FILES_3), width=400
            ),
            picture("10", width=560),
        ),
        card="1024 diffusers",
        links=VAE_LINK,
    ),
    Template(
        api="official_lora",
        title="Official - LoRA",
        note=f"""{DOWNLOADS}
- loras: your own file; *my-lora.safetensors* is only a name

**Load Lumina-Next LoRA** reads the names of ComfyUI, kohya, PEFT, diffusers and the reference code, and says what it
loaded, averaged or could not use.

{TESTED}""",
        columns=(
            note(Box("Model and prompt", "1-5", PROMPT | FILES_3), width=400),
            column("7", width=300),
            column(Box("Paint", "6 9 10", SIZE | together(9)), "8", width=280),
            picture("11", width=560),
        ),
        card="1024 LoRA",
        links=LINKS,
    ),
    Template(
        api="official_lumina_t2i",
        title="Official - Lumina-T2I",
        note=f"""**Files**, under ComfyUI's models folder:

- diffusion_models/Lumina-T2I: all files of [Lumina-T2I]({T2I}/tree/main)
- text_encoders/Llama-2-7b-hf: config, tokenizer and weights of [Llama-2-7b-hf]({LLAMA}/tree/main), after its licence
- vae: [sdxl_vae.safetensors]({VAE})

The 5B Flag-DiT from which Lumina-Next comes, with the settings of its demo: 1024 × 1024, time shift 4, 30 steps of
*euler*, guidance 4 on three of the four latent channels, and of LLaMA-2 the last layer with an end token.

512 × 2048 and 2048 × 512 are native too. For more put **Scaled RoPE** in front of **Channel Guidance**.

{TESTED}""",
        columns=(
            note(width=420),
            column(
                Box(
                    "Text to Image",
                    "1-13",
                    PROMPT | SIZE | {"seed": "9.noise_seed", "steps": "10.steps", "cfg": "8.cfg"} | FILES_3,
                ),
                width=400,
            ),
            picture("14", width=560),
        ),
        card="1024 Lumina-T2I",
        links=VAE_LINK,
    ),
    Template(
        api="official_class_to_image",
        title="Official - Class to image",
        note=f"""**Files**, under ComfyUI's models folder:

- diffusion_models/Next-DiT: all files of [Next-DiT]({HUB}/Alpha-VLLM/Next-DiT/tree/main)
- vae: [vae-ft-ema-560000-ema-pruned.safetensors]({SD_VAE})

The 600M Next-DiT of ImageNet, with the settings of its script: eight classes at 256 × 256, *dopri5*, guidance 4 on
three of the four latent channels. Each picture of the batch has a class of its own; empty *labels* and choose one from
the list for all.

The script's other sampler is **Flow SDE Sampler**, with 250 steps.

{TESTED}""",
        columns=(
            note("3", width=420),
            column(
                Box(
                    "Class to Image",
                    "1 2 4-11",
                    {"pictures": "4.batch_size", "seed": "7.noise_seed", "cfg": "6.cfg"}
                    | {"model": "1.model_name", "vae": "2.vae_name"},
                ),
                width=400,
            ),
            picture("12", width=560),
        ),
        card="256 ImageNet",
        links={"2": (SD_VAE, "vae")},
    ),
    Template(
        api="official_z_image_2k",
        title="Official - Z-Image at 3K",
        note=f"""{Z_DOWNLOADS}

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
        api="official_z_image_4k",
        title="Official - Z-Image 2K to 4K",
        note=f"""{Z_DOWNLOADS}

The first pass composes at 2048, where Z-Image is at home, the second one draws the detail at 4096. **Scaled RoPE**
stretches the positions in the second pass, so that it sees one large picture and not four; decoding in tiles keeps its
memory small.

*Denoise* of the second pass: 0.3 keeps the first picture, 0.5 paints more that is new. With Z-Image-Turbo, set here,
begin at 1536 × 1536 if 2048 shows doubled things: its makers show it up to that.

{TESTED}""",
        columns=(
            note(Box("Model and prompt", "1-5 7", {"prompt": "4.text"} | Z_FILES | {"shift": "7.shift"}), width=400),
            column(Box("First pass", "6 8", SIZE | together(8)), "10", width=280),
            column(
                Box("Second pass", "9 11 12", {"enlarge": "9.scale_by"} | together(11) | {"denoise": "11.denoise"}),
                width=280,
            ),
            picture("13", width=560),
        ),
        card="2048 4096 Z-Image",
        links=Z_LINKS,
        app=("prompt", "width", "height", "enlarge", "denoise"),
    ),
    Template(
        api="official_z_image_train_lora",
        title="Official - Train a LoRA for Z-Image",
        note=f"""**Files**, under ComfyUI's models folder:

- diffusion_models: [z_image_bf16.safetensors]({Z_BASE})
- text_encoders: [qwen_3_4b.safetensors]({Z_LINKS["2"][0]})
- vae: [ae.safetensors]({Z_LINKS["3"][0]})

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
        links=Z_LINKS | {"1": (Z_BASE, "diffusion_models")},
    ),
    Template(
        api="official_qwen_image",
        title="Official - Qwen-Image at twice its size",
        note=f"""**Files**, under ComfyUI's models folder:

- diffusion_models: [qwen_image_fp8_e4m3fn.safetensors]({QWEN_LINKS["1"][0]})
- text_encoders: [qwen_2.5_vl_7b_fp8_scaled.safetensors]({QWEN_LINKS["2"][0]})
- vae: [qwen_image_vae.safetensors]({QWEN_LINKS["3"][0]})

The first pass composes at 1328, where Qwen-Image is at home, the second one draws the detail at 2656. **Scaled RoPE**
stretches the positions in the second pass, so that it sees one large picture and not four; decoding in tiles keeps its
memory small.

Krea 2 takes the same graph with its own files, 2048 × 2048 first. Qwen-Image 2.1 is at home up to 2048: begin there,
and set *train_size* to 2048.

{TESTED}""",
        columns=(
            note(Box("Model and prompt", "1-5 7", PROMPT | Z_FILES | {"shift": "7.shift"}), width=400),
            column(Box("First pass", "6 8", SIZE | together(8)), "10", width=280),
            column(
                Box("Second pass", "9 11 12", {"enlarge": "9.scale_by"} | together(11) | {"denoise": "11.denoise"}),
                width=280,
            ),
            picture("13", width=560),
        ),
        card="1328 2656 Qwen-Image",
        links=QWEN_LINKS,
        app=("prompt", "width", "height", "enlarge", "denoise"),
    ),
)
