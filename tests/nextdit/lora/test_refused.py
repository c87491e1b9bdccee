"""LoRA files that are none of this model, unread or contradictory are refused in words."""

import pytest
import torch

from lumina_next.nextdit import NextDiT, save_model
from lumina_next.nextdit.lora.convert import convert
from lumina_next.nextdit.lora.files import read_lora
from lumina_next.nextdit.lora.parts import UnreadFormat, WrongLora
from lumina_next.tests.nextdit.lora.test_convert import CONFIG, SHAPES, factors


@pytest.mark.parametrize(
    "key, says",
    [
        ("diffusion_model.layers.0.attention.qkv.lora_A.weight", "Lumina-Image-2.0 or Z-Image"),
        ("transformer.single_transformer_blocks.0.attn.to_q.lora_A.weight", "Flux"),
        ("lora_unet_down_blocks_0_attentions_0_proj_in.lora_down.weight", "Stable Diffusion 1, 2 or XL"),
        ("transformer.transformer_blocks.0.attn.to_q.lora_A.weight", "SD3"),
        ("diffusion_model.blocks.0.self_attn.q.lora_A.weight", "Wan"),
        ("lora_te_layers_0_self_attn_q_proj.lora_down.weight", "a text encoder"),
        ("controlnet_blocks.0.weight", "a ControlNet"),
        ("control_layers.0.attention.qkv.weight", "a ControlNet"),
        ("nonsense", "no known LoRA"),
    ],
)
def test_files_of_other_families_are_named(key, says):
    with pytest.raises(WrongLora, match=f"no key matches this model; its keys look like {says}.*{key}"):
        convert({key: torch.ones(2, 2)}, SHAPES)


def test_a_whole_model_and_an_empty_file_are_no_loras(tmp_path):
    save_model(NextDiT(CONFIG), tmp_path / "model.safetensors")
    with pytest.raises(WrongLora, match="it is a whole model, not a LoRA; load it as the model"):
        convert(read_lora(tmp_path / "model.safetensors")[0], SHAPES)
    with pytest.raises(WrongLora, match="it holds no tensors"):
        convert({}, SHAPES)


def test_keys_that_match_nothing_are_kept_for_the_user():
    up, down = factors("layers.0.feed_forward.w2")
    file = {"layers.0.feed_forward.w2.lora_B.weight": up, "layers.0.feed_forward.w2.lora_A.weight": down}
    converted = convert(file | {"layers.7.attention.wq.lora_A.weight": down, "noise_refiner.0.x": up}, SHAPES)
    assert converted.unmatched == ["layers.7.attention.wq.lora_A.weight", "noise_refiner.0.x"]
    report = converted.report()
    assert "2 keys match nothing in this model: layers.7" in report and "look like Lumina-Image-2.0" in report
    one = convert(file | {"layers.7.attention.wq.lora_A.weight": down}, SHAPES).report()
    assert one.splitlines()[0] == "1 weight of the model is changed."
    assert one.splitlines()[1].startswith("1 key matches nothing in this model: layers.7")


def test_shapes_and_missing_halves_are_errors():
    up, down = factors("layers.0.feed_forward.w2")
    name = "layers.0.feed_forward.w2"
    with pytest.raises(WrongLora, match="another size: layers.0.feed_forward.w2 is 32×40, the model has 32×48"):
        convert({f"{name}.lora_B.weight": up, f"{name}.lora_A.weight": down[:, :40]}, SHAPES)
    with pytest.raises(WrongLora, match="^layers.0.feed_forward.w2 is incomplete.*lora_down.weight"):
        convert({f"{name}.lora_B.weight": up}, SHAPES)
    with pytest.raises(WrongLora, match="^layers.0.feed_forward.w2 is incomplete.*but holds none"):
        convert({f"{name}.alpha": torch.tensor(4.0)}, SHAPES)


def test_two_namings_of_one_weight_in_one_file_contradict():
    up, down = factors("layers.0.feed_forward.w2")
    file = {}
    for name in ("layers.0.feed_forward.w2", "lora_unet_layers_0_feed_forward_w2"):
        file |= {f"{name}.lora_up.weight": up, f"{name}.lora_down.weight": down}
    with pytest.raises(WrongLora, match="both change layers.0.feed_forward.w2; keep one"):
        convert(file, SHAPES)


UNREAD = {
    "vera_lambda_b": "PEFT's VERA",
    "boft_R": "PEFT's BOFT",
    "oft_R.weight": "PEFT's OFT",
    "ia3_l": "PEFT's IA3",
    "on_input": "LyCORIS' IA3",
    "fourierft_spectrum": "PEFT's FOURIERFT",
    "base_layer.weight": "whole weights or biases",
    "weight": "whole weights or biases",
}


@pytest.mark.parametrize("part", UNREAD)
def test_formats_that_are_not_read_are_named(part):
    w2 = "base_model.model.layers.0.feed_forward.w2"
    with pytest.raises(UnreadFormat, match=f"it holds {UNREAD[part]}.*{w2}.{part}"):
        convert({f"{w2}.{part}": torch.ones(32)}, SHAPES)
    up, down = factors("layers.0.feed_forward.w1")
    file = {"layers.0.feed_forward.w1.lora_B.weight": up, "layers.0.feed_forward.w1.lora_A.weight": down}
    converted = convert(file | {f"{w2}.{part}": torch.ones(32)}, SHAPES)
    assert converted.unmatched == [f"{w2}.{part}"]
    assert f"hold {UNREAD[part]}" in converted.report() and "not read" in converted.report()


@pytest.mark.parametrize("part", ["lora_E", "ranknum", "oft_R.weight", "lora_monteclora_x"])
def test_a_module_is_not_changed_by_half_of_what_a_file_says_of_it(part):
    up, down = factors("layers.0.feed_forward.w1")
    name = "layers.0.feed_forward.w1"
    file = {f"{name}.lora_B.weight": up, f"{name}.lora_A.weight": down, f"{name}.{part}": torch.ones(3)}
    with pytest.raises(UnreadFormat, match=f"{name}.{part}"):
        convert(file, SHAPES)


CONTRADICTORY = {
    "two adapters": ({"lora_A.one.weight": (3, 48), "lora_A.two.weight": (3, 48)}, "lora_down.weight twice"),
    "two kinds": ({"diff": (32, 48), "set_weight": (32, 48)}, "difference and new weight at once"),
    "alpha alone": ({"alpha": ()}, "it says how to scale a change, but holds none"),
    "many alphas": (
        {"lora_up.weight": (32, 3), "lora_down.weight": (3, 48), "alpha": (3,)},
        "alpha is 3, expected one number",
    ),
    "no rank": ({"lora_up.weight": (32, 0), "lora_down.weight": (0, 48)}, "32×0"),
    "a kernel": ({"lora_up.weight": (32, 3, 1, 1), "lora_down.weight": (3, 48, 3, 3)}, "32×432, the model has 32×48"),
    "middle": ({"lora_up.weight": (32, 3), "lora_down.weight": (3, 48), "lora_mid.weight": (3, 3, 3, 3)}, "3×3×1×1"),
    "reshape": ({"lora_up.weight": (32, 3), "lora_down.weight": (3, 48), "reshape_weight": (2,)}, "reshape_weight"),
    "magnitudes": (
        {"lora_up.weight": (32, 3), "lora_down.weight": (3, 48), "dora_scale": (31, 1)},
        "magnitudes of 31×1",
    ),
    "butterflies": ({"oft_blocks": (5, 8, 4, 4)}, "do not divide"),
    "blocks": ({"oft_blocks": (7, 4, 4)}, "28×48, the model has 32×48"),
    "glora": ({"a1.weight": (9, 2), "a2.weight": (2, 9), "b1.weight": (32, 2), "b2.weight": (2, 48)}, "48 inputs"),
    "half a lokr": ({"lokr_w1": (4, 6)}, "lokr_w2_a? ?is missing|lokr_w2_b is missing"),
    "scalar": ({"lora_up.weight": (), "lora_down.weight": ()}, "incomplete or contradictory"),
}


@pytest.mark.parametrize("case", CONTRADICTORY)
def test_parts_that_do_not_fit_are_a_sentence(case):
    parts, says = CONTRADICTORY[case]
    with pytest.raises(WrongLora, match=says) as error:
        convert({f"layers.0.feed_forward.w2.{part}": torch.ones(shape) for part, shape in parts.items()}, SHAPES)
    assert "layers.0.feed_forward.w2" in str(error.value)
