"""The weights of the paper and its predecessor."""

from ..spec import Box, Template, column, note, picture
from .parts import FILES, together

HUB = "https://huggingface.co"
NETWORK = f"{HUB}/Alpha-VLLM/Lumina-Next-SFT/resolve/main/consolidated.00-of-01.safetensors"
DIFFUSERS = f"{HUB}/Alpha-VLLM/Lumina-Next-SFT-diffusers"
VAE = f"{HUB}/stabilityai/sdxl-vae/resolve/main/sdxl_vae.safetensors"
T2I, LLAMA = f"{HUB}/Alpha-VLLM/Lumina-T2I", f"{HUB}/meta-llama/Llama-2-7b-hf"
SD_VAE = f"{HUB}/stabilityai/sd-vae-ft-ema-original/resolve/main/vae-ft-ema-560000-ema-pruned.safetensors"
T2AUDIO, T2MUSIC = f"{HUB}/Alpha-VLLM/Lumina-T2Audio", f"{HUB}/Alpha-VLLM/Lumina-T2Music"
BERT = f"{HUB}/google-bert/bert-base-uncased/resolve/main/tokenizer.json"
VAE_LINK = {"3": (VAE, "vae")}
LINKS = {"1": (NETWORK, "diffusion_models"), **VAE_LINK}
TESTED = "The weights could not be had where this was made: the graph is tested on small stand-ins."
DOWNLOADS = f"""**Files**, under ComfyUI's models folder:

- diffusion_models: [consolidated.00-of-01.safetensors]({NETWORK})
- vae: [sdxl_vae.safetensors]({VAE})
- text_encoders/gemma-2b: the folders [text_encoder]({DIFFUSERS}/tree/main/text_encoder) and
  [tokenizer]({DIFFUSERS}/tree/main/tokenizer), with all their files"""
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
        api="official_text_to_audio",
        title="Official - Text to audio",
        note=f"""**Files**, under ComfyUI's models folder:

- checkpoints/Lumina-T2Audio: all files of [Lumina-T2Audio]({T2AUDIO}/tree/main)
- text_encoders/bert-base-uncased: [tokenizer.json]({BERT})

Sounds, with the settings of the demo: 10 seconds, 100 steps of *euler*, guidance 3. The model reads a sentence and
which sound is heard when; **Structured Caption** shows what it takes from the sentence. Fill in its fields to say it
better: several sounds of one time are parted by semicolons.

Make-An-Audio 3 (XL, XXL) opens in the same way.

{TESTED}""",
        columns=(
            note(width=420),
            column("2", "1", width=400),
            column(
                Box(
                    "Text to Audio",
                    "3-7",
                    {"negative prompt": "4.text", "seconds": "5.seconds"}
                    | {name: f"6.{name}" for name in ("seed", "steps", "cfg")},
                ),
                "8",
                width=320,
            ),
        ),
        card="Lumina-T2Audio",
    ),
    Template(
        api="official_text_to_music",
        title="Official - Text to music",
        note=f"""**Files**, under ComfyUI's models folder:

- checkpoints/Lumina-T2Music: all files of [Lumina-T2Music]({T2MUSIC}/tree/main)

Music, with the settings of the demo: 10 seconds, 40 steps of *euler*, guidance 5. Name instruments, tempo, mood and
style in a sentence.

{TESTED}""",
        columns=(
            note(width=420),
            column(
                Box(
                    "Text to Music",
                    "1-6",
                    {"prompt": "2.text", "negative prompt": "3.text", "seconds": "4.seconds"}
                    | {name: f"5.{name}" for name in ("seed", "steps", "cfg")}
                    | {"model": "1.model_name", "vocoder": "1.vocoder"},
                ),
                "7",
                width=400,
            ),
        ),
        card="Lumina-T2Music",
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
)
