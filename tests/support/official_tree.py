"""Small random stand-ins for Lumina-T2I, Next-DiT on ImageNet (spelt out in the reference layouts) and audio models."""

import json
import shutil
from pathlib import Path

import torch

from . import untrained_audio, untrained_text_encoder
from .reference_weights import weights

DIM, FFN, HEADS = 32, 48, 2
T2I, NEXT_DIT = "diffusion_models/Lumina-T2I", "diffusion_models/Next-DiT"
LLAMA = "text_encoders/Llama-2-7b-hf"
T2AUDIO, T2MUSIC = "checkpoints/Lumina-T2Audio", "checkpoints/Lumina-T2Music"


def flag_shapes(text_dim: int) -> dict[str, tuple[int, ...]]:
    """A text-to-image Flag-DiT of one layer."""
    shapes = _body(modulations=6) | {"eol_token": (DIM,), "pad_token": (DIM,)}
    shapes |= {"cap_embedder.0.weight": (text_dim,), "cap_embedder.0.bias": (text_dim,)}
    shapes |= {"cap_embedder.1.weight": (DIM, text_dim), "cap_embedder.1.bias": (DIM,)}
    shapes |= {f"layers.0.attention.{name}.weight": (DIM, text_dim) for name in ("wk_y", "wv_y")}
    shapes |= {"layers.0.attention.ky_norm.weight": (DIM,), "layers.0.attention.ky_norm.bias": (DIM,)}
    return shapes | {"layers.0.attention.gate": (HEADS,), "layers.0.attention_y_norm.weight": (text_dim,)}


def class_shapes(classes: int = 1000) -> dict[str, tuple[int, ...]]:
    """A class-conditional Next-DiT of one layer."""
    return _body(modulations=4) | {"y_embedder.embedding_table.weight": (classes + 1, DIM)}


def _body(modulations: int) -> dict[str, tuple[int, ...]]:
    shapes = {"x_embedder.weight": (DIM, 16), "x_embedder.bias": (DIM,)}
    shapes |= {"t_embedder.mlp.0.weight": (DIM, 256), "t_embedder.mlp.0.bias": (DIM,)}
    shapes |= {"t_embedder.mlp.2.weight": (DIM, DIM), "t_embedder.mlp.2.bias": (DIM,)}
    shapes |= {f"layers.0.attention.{name}.weight": (DIM, DIM) for name in ("wq", "wk", "wv", "wo")}
    for name in ("q_norm", "k_norm"):
        shapes |= {f"layers.0.attention.{name}.weight": (DIM,), f"layers.0.attention.{name}.bias": (DIM,)}
    shapes |= {f"layers.0.feed_forward.{name}.weight": (FFN, DIM) for name in ("w1", "w3")}
    shapes |= {"layers.0.feed_forward.w2.weight": (DIM, FFN)}
    shapes |= {"layers.0.attention_norm.weight": (DIM,), "layers.0.ffn_norm.weight": (DIM,)}
    shapes |= {"layers.0.adaLN_modulation.1.weight": (modulations * DIM, DIM)}
    shapes |= {"layers.0.adaLN_modulation.1.bias": (modulations * DIM,)}
    shapes |= {"final_layer.linear.weight": (32, DIM), "final_layer.linear.bias": (32,)}
    return shapes | {
        "final_layer.adaLN_modulation.1.weight": (2 * DIM, DIM),
        "final_layer.adaLN_modulation.1.bias": (2 * DIM,),
    }


def write(models: Path, text_dim: int) -> None:
    """Put the models and a LLaMA under ComfyUI's models folder."""
    for name in (T2I, NEXT_DIT):
        (models / name).mkdir(parents=True, exist_ok=True)
    for name, shapes, more in (
        (T2I, flag_shapes(text_dim), {}),
        (NEXT_DIT, class_shapes(), {"n_heads": torch.tensor(HEADS)}),  # which so narrow a model has to say
    ):
        stored = {key: x.bfloat16() for key, x in weights(shapes).items()} | more
        torch.save(stored, models / name / "consolidated_ema.00-of-01.pth")
        (models / name / "model_args.pth").write_bytes(b"never opened")
    write_llama(models / LLAMA, text_dim)
    for name, sounds in ((T2AUDIO, True), (T2MUSIC, False)):
        untrained_audio.write_released(models / name, sounds)


def write_llama(folder: Path, hidden: int) -> None:
    """A LLaMA folder as on the hub, with the tokenizer of the tests' text encoder."""
    from transformers import LlamaConfig, LlamaModel

    boxed = untrained_text_encoder.write(folder / "boxed")
    vocabulary = json.loads((boxed / "config.json").read_text())["vocab_size"]
    sizes = {"num_hidden_layers": 2, "num_attention_heads": 2, "num_key_value_heads": 2, "intermediate_size": 48}
    LlamaModel(LlamaConfig(vocab_size=vocabulary, hidden_size=hidden, **sizes)).bfloat16().save_pretrained(folder)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(boxed / name, folder / name)
