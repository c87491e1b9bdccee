"""Small random stand-ins for real files, in the real layouts and under the real names.

The diffusers folder and the VAE are written by diffusers itself, the language model by transformers; the reference
layout is spelt out key by key, so that the pack's own tables are not tested against themselves.
"""

import json
import shutil
from pathlib import Path

import torch
from PIL import Image
from safetensors.torch import save_file

from lumina_next.tests.support import (
    untrained_audio,
    untrained_model,
    untrained_multiview,
    untrained_text_encoder,
    untrained_video,
)

from . import graphs, official_tree, video_graphs
from .comfy_server import PACK

TEXT_DIM = 32
REFERENCE = "diffusion_models/consolidated.00-of-01.safetensors"
DIFFUSERS = "diffusers/Lumina-Next-SFT-diffusers"
TEXT_ENCODER = "text_encoders/gemma-2b"
VAE = "vae/sdxl_vae.safetensors"
SD_VAE = "vae/vae-ft-ema-560000-ema-pruned.safetensors"
Z_IMAGE_VAE = "vae/ae.safetensors"
ONLY_NAMED = (
    "diffusion_models/z_image_turbo_bf16.safetensors",
    "diffusion_models/z_image_bf16.safetensors",
    "text_encoders/qwen_3_4b.safetensors",
    "diffusion_models/krea2_turbo_fp8_scaled.safetensors",
    "text_encoders/qwen3vl_4b_fp8_scaled.safetensors",
    "diffusion_models/qwen_image_fp8_e4m3fn.safetensors",
    "text_encoders/qwen_2.5_vl_7b_fp8_scaled.safetensors",
    "vae/qwen_image_vae.safetensors",
    "diffusion_models/wan2.1_t2v_1.3B_fp16.safetensors",
    "text_encoders/umt5_xxl_fp8_e4m3fn_scaled.safetensors",
    "vae/wan_2.1_vae.safetensors",
)
"""Files that must be in the lists, while stand_in_nodes.py does their work."""
LORA = "loras/my-lora.safetensors"


def write_official_stand_ins(models: Path) -> None:
    """Put a stand-in for each file that the workflows of the official weights name under ComfyUI's models folder."""
    for name in (REFERENCE, DIFFUSERS, TEXT_ENCODER, VAE):
        (models / name).parent.mkdir(parents=True, exist_ok=True)
    save_file(reference_weights(), models / REFERENCE)
    write_diffusers(models / DIFFUSERS)
    write_gemma(models / DIFFUSERS / "text_encoder", tokenizer=models / DIFFUSERS / "tokenizer")
    write_gemma(models / TEXT_ENCODER)
    write_vae(models / VAE)
    write_vae(models / SD_VAE)
    official_tree.write(models, TEXT_DIM)
    write_vae(models / Z_IMAGE_VAE, channels=16)
    for name in ONLY_NAMED:
        save_file({"stand.in": torch.zeros(1)}, models / name)
    write_lora(models / LORA, "peft", dim=32)
    write_training_pictures(models.parent / "input/my_style")


def reference_weights(
    dim=32, layers=1, heads=2, kv_heads=1, text_dim=TEXT_DIM, channels=4, patch=2, seed=0
) -> dict[str, torch.Tensor]:
    """Random weights of a Next-DiT with QK-norm and a variance head, bfloat16, in the reference layout."""
    time, ffn, kv = min(dim, 1024), 256, dim // heads * kv_heads
    shapes = {
        "pad_token": (dim,),
        "x_embedder.weight": (dim, channels * patch**2),
        "x_embedder.bias": (dim,),
        "t_embedder.mlp.0.weight": (time, 256),
        "t_embedder.mlp.0.bias": (time,),
        "t_embedder.mlp.2.weight": (time, time),
        "t_embedder.mlp.2.bias": (time,),
        "cap_embedder.0.weight": (text_dim,),
        "cap_embedder.0.bias": (text_dim,),
        "cap_embedder.1.weight": (time, text_dim),
        "cap_embedder.1.bias": (time,),
        "final_layer.linear.weight": (patch**2 * channels * 2, dim),
        "final_layer.linear.bias": (patch**2 * channels * 2,),
        "final_layer.adaLN_modulation.1.weight": (dim, time),
        "final_layer.adaLN_modulation.1.bias": (dim,),
    }
    for n in range(layers):
        attention, block = f"layers.{n}.attention.", f"layers.{n}."
        shapes |= {attention + "wq.weight": (dim, dim), attention + "wo.weight": (dim, dim)}
        shapes |= {attention + "gate": (heads,)}
        shapes |= {attention + name + ".weight": (kv, dim) for name in ("wk", "wv")}
        shapes |= {attention + name + ".weight": (kv, text_dim) for name in ("wk_y", "wv_y")}
        for name, width in (("q_norm", dim), ("k_norm", kv), ("ky_norm", kv)):
            shapes |= {f"{attention}{name}.weight": (width,), f"{attention}{name}.bias": (width,)}
        norms = ("attention_norm1", "attention_norm2", "ffn_norm1", "ffn_norm2")
        shapes |= {f"{block}{name}.weight": (dim,) for name in norms}
        shapes |= {block + "attention_y_norm.weight": (text_dim,)}
        shapes |= {f"{block}feed_forward.{name}.weight": (ffn, dim) for name in ("w1", "w3")}
        shapes |= {block + "feed_forward.w2.weight": (dim, ffn)}
        shapes |= {block + "adaLN_modulation.1.weight": (4 * dim, time), block + "adaLN_modulation.1.bias": (4 * dim,)}
    generator = torch.Generator().manual_seed(seed)
    return {key: _random(key, shape, generator).bfloat16() for key, shape in shapes.items()}


def write_diffusers(folder: Path) -> None:
    """A repository folder as diffusers saves it: `transformer/` with config, shards and index."""
    from diffusers import LuminaNextDiT2DModel

    model = LuminaNextDiT2DModel(
        sample_size=128,
        hidden_size=32,
        num_layers=1,
        num_attention_heads=2,
        num_kv_heads=1,
        cross_attention_dim=TEXT_DIM,
    )
    _randomise(model)
    for layer in model.layers:  # diffusers keeps the query twice, once for each attention
        layer.attn2.to_q.load_state_dict(layer.attn1.to_q.state_dict())
        layer.attn2.norm_q.load_state_dict(layer.attn1.norm_q.state_dict())
    model.bfloat16().save_pretrained(folder / "transformer", max_shard_size="60KB")


def write_untrained(models: Path) -> None:
    """The small model and text encoder that most tests run on, in a ComfyUI's `models` folder."""
    for kind in ("diffusion_models", "text_encoders"):
        (models / kind).mkdir(parents=True, exist_ok=True)
    untrained_model.write(models / "diffusion_models" / graphs.MODEL)
    untrained_video.write(models / "diffusion_models" / video_graphs.VIDEO)
    untrained_text_encoder.write(models / "text_encoders" / graphs.TEXT_ENCODER)


def write_absent_demo(models: Path) -> None:
    """The multi-view and audio checkpoints of the box under their names, for a checkout that has not got them."""
    if not (PACK / "demo/diffusion_models" / graphs.MULTIVIEW).is_file():
        untrained_multiview.write(models / "diffusion_models" / graphs.MULTIVIEW, {"train_tokens": "8"})
    for name, config in untrained_audio.DEMO.items():
        if not (PACK / "demo/diffusion_models" / name).is_file():
            untrained_audio.write_spectra(models / "diffusion_models" / name, config)


def write_gemma(folder: Path, hidden: int = TEXT_DIM, tokenizer: Path | None = None) -> None:
    """A Gemma folder as on the hub, with the tokenizer of the tests' text encoder, beside the weights or apart."""
    from transformers import GemmaConfig, GemmaModel

    boxed = untrained_text_encoder.write(folder / "boxed")
    sizes = {"num_hidden_layers": 2, "num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 16}
    vocabulary = json.loads((boxed / "config.json").read_text())["vocab_size"]
    model = GemmaModel(GemmaConfig(vocab_size=vocabulary, hidden_size=hidden, intermediate_size=64, **sizes))
    model.bfloat16().save_pretrained(folder)
    target = tokenizer or folder
    target.mkdir(exist_ok=True)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(boxed / name, target / name)


def write_vae(file: Path, channels: int = 4) -> None:
    """The decoder of SDXL's VAE, or with 16 channels Z-Image's, a quarter as wide: ComfyUI reads widths from shapes."""
    from diffusers import AutoencoderKL

    vae = AutoencoderKL(
        block_out_channels=(32, 64, 128, 128),
        layers_per_block=2,
        latent_channels=channels,
        use_post_quant_conv=channels == 4,
        use_quant_conv=channels == 4,
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
    )
    _randomise(vae)
    save_file({k: v for k, v in vae.state_dict().items() if not k.startswith("encoder.")}, file)


def write_training_pictures(folder: Path) -> None:
    """Three pictures of two sizes with their captions, as ComfyUI's node for training data reads them."""
    folder.mkdir(parents=True)
    for name, size in (("one", (96, 64)), ("two", (96, 64)), ("three", (64, 96))):
        Image.effect_mandelbrot(size, (-2, -1, 1, 1), 20).convert("RGB").save(folder / f"{name}.png")
        (folder / f"{name}.txt").write_text(f"{name}, in my_style", encoding="utf-8")


def write_lora(file: Path, naming: str, rank: int = 4, dim: int = 64, seed: int = 3) -> None:
    """A LoRA on one matrix of the untrained model: `naming` is "kohya", "diffusion_model" or "peft"."""
    base, up, down = {
        "kohya": ("lora_unet_layers_0_attention_wq", "lora_up", "lora_down"),
        "diffusion_model": ("diffusion_model.layers.0.attention.wq", "lora_B", "lora_A"),
        "peft": ("base_model.model.layers.0.attention.wq", "lora_B", "lora_A"),
    }[naming]
    generator = torch.Generator().manual_seed(seed)
    weights = {
        f"{base}.{up}.weight": torch.randn(dim, rank, generator=generator),
        f"{base}.{down}.weight": torch.randn(rank, dim, generator=generator),
    }
    file.parent.mkdir(parents=True, exist_ok=True)
    save_file(weights, file)


def _random(key: str, shape: tuple[int, ...], generator: torch.Generator) -> torch.Tensor:
    centre = 1.0 if "norm" in key and key.endswith("weight") else 0.0
    spread = shape[-1] ** -0.5 if len(shape) == 2 else 0.1
    return centre + spread * torch.randn(shape, generator=generator)


def _randomise(module: torch.nn.Module, seed: int = 0) -> None:
    """Untrained modules start with zeroed gates; give every vector some life so that outputs depend on inputs."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            if parameter.ndim <= 2:
                parameter.copy_(_random(name, tuple(parameter.shape), generator))
