"""A file that is no model of ours is called what it is, so that whoever opened it knows where it belongs."""

import pytest

from lumina_next.nextdit.families import explain, recognise, relative

PARTS = (("x_embedder", "weight"), ("final_layer", "linear.weight"))
KEYS = {
    "a LoRA": [
        "lora_unet_layers_0_attention_wq.lora_down.weight",
        "diffusion_model.layers.0.attention.wq.lora_A.weight",
        "transformer.x.lora.up.weight",
    ],
    "a VAE": ["decoder.conv_out.weight", "first_stage_model.decoder.conv_out.weight"],
    "a language model": ["model.layers.0.self_attn.q_proj.weight"],
    "a text encoder of other models": [
        "text_model.encoder.layers.0.mlp.fc1.weight",
        "encoder.block.0.layer.0.SelfAttention.q.weight",
    ],
    "a whole checkpoint of another model": [
        "conditioner.embedders.0.transformer.text_model.final_layer_norm.weight",
        "cond_stage_model.transformer.text_model.final_layer_norm.weight",
    ],
    "a model of another kind": [
        "double_blocks.0.img_attn.qkv.weight",
        "model.diffusion_model.input_blocks.0.0.weight",
        "transformer_blocks.0.attn.to_q.weight",
        "model.diffusion_model.joint_blocks.0.x_block.attn.qkv.weight",
    ],
}


@pytest.mark.parametrize("what, key", [(what, key) for what, keys in KEYS.items() for key in keys])
def test_each_is_called_what_it_is(what, key):
    assert relative([key, "something.else"]) == what == explain([key])


def test_what_nobody_knows_is_shown():
    assert relative(["a.b"]) is None and "first keys: a.b" in explain(["a.b"])


@pytest.mark.parametrize("prefix", ["", "module.", "model.diffusion_model."])
def test_lumina_video_is_none_of_ours_though_its_layers_have_our_names(prefix):
    layer = ("attention.wq", "attention.wk_y", "attention.q_norm", "feed_forward.w1", "adaLN_modulation.1")
    keys = [f"layers.0.{name}.weight" for name in layer] + ["layers.0.attention.gate", "pad_token"]
    keys += [f"all_{part}.{scale}.{name}" for scale in ("2-1", "2-2", "4-4") for part, name in PARTS]
    keys += [f"{part}.mlp.{i}.weight" for part in ("t_embedder", "motion_embedder") for i in (0, 2)]
    keys = [prefix + key for key in keys]
    assert recognise(keys) is None
    assert "Lumina-Video-f24R960" in explain(keys) and "Alpha-VLLM/Lumina-Video" in explain(keys)
    # Z-Image has embedders of that name too
    assert "Z-Image" in explain([f"{prefix}all_x_embedder.2-1.weight", f"{prefix}noise_refiner.0.attention.qkv.weight"])
