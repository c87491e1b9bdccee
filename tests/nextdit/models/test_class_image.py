"""Networks of classes and Flag-DiT: released layouts by true shapes, variants told apart, wrong ones explained."""

import argparse
from dataclasses import replace

import pytest
import torch
from safetensors.torch import save_file

from lumina_next.nextdit import ContextDrop, RopeScaling, load_model
from lumina_next.nextdit.checkpoint import describe, expected_shapes, save_model
from lumina_next.nextdit.families import recognised
from lumina_next.nextdit.labels import find_label
from lumina_next.nextdit.models import class_image, flag
from lumina_next.nextdit.models.class_image import ClassConfig, ClassDiT
from lumina_next.nextdit.models.flag import FlagConfig, FlagDiT
from lumina_next.tests.nextdit.conftest import randomise

SMALL = ClassConfig(dim=32, n_layers=2, n_heads=2, n_kv_heads=2, classes=3, time_dim=16)
VARIANTS = {
    "next": SMALL,
    "grouped": replace(SMALL, n_kv_heads=1),
    "flag": replace(SMALL, block="flag"),
    "time": replace(SMALL, time_experts=4),
    "space": replace(SMALL, space_experts=4),
    "both": replace(SMALL, time_experts=3, space_experts=2),
    "square": replace(SMALL, time_dim=32, space_experts=4),
    "named": replace(SMALL, labels=("ant", "bee", "cow"), in_channels=3, out_channels=3),
}
PRESETS = {
    # width, layers, what differs: parameters in units of 10⁹, of the reference's presets
    "Next-DiT 600M": (1536, 16, {}, 0.559),
    "Next-DiT 600M, grouped": (1536, 16, {"n_kv_heads": 8}, None),
    "Next-DiT 2B": (2304, 24, {}, 1.76),
    "Next-DiT 3B": (3072, 32, {}, 4.04),
    "Next-DiT 7B": (4096, 32, {}, 7.03),
    "Flag-DiT 600M": (1536, 16, {"block": "flag"}, 0.610),
    "Flag-DiT 3B": (3072, 32, {"block": "flag"}, 4.24),
    "Flag-DiT 7B": (4096, 32, {"block": "flag"}, 7.29),
    "time": (1536, 16, {"time_experts": 8}, 2.67),
    "space": (1536, 16, {"space_experts": 8}, 2.67),
    "both": (1536, 16, {"time_experts": 4, "space_experts": 4}, None),
}


def inputs(config, batch=2, size=(6, 10)):
    torch.manual_seed(1)
    return torch.randn(batch, config.in_channels, *size), torch.linspace(0.1, 0.8, batch), torch.arange(batch)


def untrained(config):
    return randomise(ClassDiT(config))


@pytest.mark.parametrize("name", PRESETS)
def test_released_layouts_are_known_by_their_shapes_alone(name):
    dim, layers, differs, billions = PRESETS[name]
    config = replace(ClassConfig(dim, layers, 32, 32), **differs)
    shapes = expected_shapes(class_image.FAMILY, config)
    found = recognised(shapes)
    assert found.family is class_image.FAMILY
    assert found.family.read(found.shapes(shapes), {}) == config
    count = sum(torch.Size(shape).numel() for shape in shapes.values()) / 1e9
    assert billions is None or abs(count - billions) < 0.006


def test_lumina_t2i_is_known_by_its_shapes_alone():
    config = FlagConfig(3072, 32, 32, 32, text_dim=4096)
    shapes = {flag.FAMILY.reference(key): shape for key, shape in expected_shapes(flag.FAMILY, config).items()}
    assert shapes["layers.0.adaLN_modulation.1.weight"] == (18432, 1024)
    assert shapes["layers.31.feed_forward.w1.weight"] == (8192, 3072)
    assert {"eol_token", "pad_token", "layers.0.attention.gate"} <= shapes.keys()
    found = recognised(shapes)
    assert found.family.read(found.shapes(shapes), {}) == config
    assert abs(sum(torch.Size(shape).numel() for shape in shapes.values()) / 1e9 - 5.047) < 0.001


@pytest.mark.parametrize("name", VARIANTS)
@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_variants_are_told_apart_and_come_back_as_they_were(tmp_path, name, suffix):
    model, file = untrained(VARIANTS[name]), tmp_path / f"model{suffix}"
    if suffix == ".pth" and name != "square":  # which keeps what shapes do not tell in tensors, as ComfyUI's files do
        facts = recognised(model.state_dict()).as_facts(model.config.about())
        torch.save({"state_dict": {f"module.{key}": x for key, x in (model.state_dict() | facts).items()}}, file)
    else:
        save_model(model, file := file.with_suffix(".safetensors"))
    loaded = load_model(file)
    assert loaded.config == describe(file).config == model.config
    x, t, label = inputs(model.config)
    with torch.no_grad():
        assert torch.equal(loaded(x, t, label), model(x, t, label))


@torch.no_grad()
@pytest.mark.parametrize("name", VARIANTS)
def test_every_kind_takes_odd_sizes_classes_none_and_shares(name):
    model = untrained(VARIANTS[name])
    x, t, label = inputs(model.config, size=(5, 7))
    out = model(x, t, label)
    assert out.shape == x.shape
    none = torch.full((2,), model.config.classes)
    assert torch.equal(model(x, t, none), model(x, t, torch.zeros(2, model.config.classes)))
    assert not torch.allclose(out, model(x, t, none))
    torch.testing.assert_close(out, model(x, t, torch.eye(model.config.classes)[label]))
    alone = torch.cat([model(x[i : i + 1], t[i : i + 1], label[i : i + 1]) for i in range(2)])
    torch.testing.assert_close(out, alone, rtol=1e-5, atol=1e-5)


@torch.no_grad()
def test_time_chooses_experts_for_all_tokens_and_place_for_each():
    chosen = {}
    for name in ("time", "space"):
        model = untrained(VARIANTS[name])
        seen = []
        layer = model.layers[0].feed_forward
        for expert in layer.experts:
            expert.register_forward_hook(lambda _, args, out, seen=seen: seen.append(args[0].shape[:2].numel()))
        model(*inputs(model.config))
        chosen[name] = seen
    assert sum(chosen["time"]) == sum(chosen["space"]) == 2 * 2 * 15  # two experts for each of 2 · 15 patches
    assert all(count % 15 == 0 for count in chosen["time"])
    assert any(count % 15 for count in chosen["space"])


def test_what_the_weights_do_not_tell_is_asked_for(tmp_path):
    save_file(untrained(VARIANTS["next"]).state_dict(), tmp_path / "next.safetensors")
    with pytest.raises(ValueError, match=r"next\.safetensors: nothing says how many heads .* write n_heads"):
        load_model(tmp_path / "next.safetensors")
    weights = untrained(VARIANTS["square"]).state_dict()
    save_file(weights, tmp_path / "square.safetensors", metadata={"n_heads": "2"})
    with pytest.raises(ValueError, match="time or place chooses .* experts = time or experts = space"):
        load_model(tmp_path / "square.safetensors")
    save_file(weights, tmp_path / "odd.safetensors", metadata={"n_heads": "5", "experts": "space"})
    with pytest.raises(ValueError, match="n_heads '5', expected a divisor of its width 32"):
        load_model(tmp_path / "odd.safetensors")
    damaged = untrained(VARIANTS["next"]).state_dict()
    damaged["layers.0.adaLN_modulation.1.bias"] = torch.zeros(5 * 32)
    save_file(damaged, tmp_path / "damaged.safetensors", metadata={"n_heads": "2"})
    with pytest.raises(ValueError, match=r"5 modulations .* expected 4 \(Next-DiT\), 6 \(Flag-DiT"):
        load_model(tmp_path / "damaged.safetensors")


@pytest.mark.parametrize("asked", ["image", "flag", "points"])
def test_another_family_than_the_wanted_one_is_said(tmp_path, asked):
    save_model(untrained(SMALL), tmp_path / "m.safetensors")
    with pytest.raises(ValueError, match="it is a class-conditional Next-DiT or Flag-DiT, expected a"):
        load_model(tmp_path / "m.safetensors", family=asked)


class Trap:
    def __reduce__(self):
        return print, ("this ran",)


def test_arguments_of_a_training_are_never_opened(tmp_path, capsys):
    torch.save(argparse.Namespace(model="DiT_Llama_5B_patch2", trap=Trap()), tmp_path / "model_args.pth")
    with pytest.raises(ValueError, match=r"model_args\.pth holds no weights .* choose consolidated\.00-of-01"):
        load_model(tmp_path / "model_args.pth")
    (tmp_path / "model_args.pth").rename(tmp_path / "consolidated.00-of-01.pth")
    with pytest.raises(ValueError, match="could run code .nothing was run"):
        load_model(tmp_path)
    assert "this ran" not in capsys.readouterr().out


@torch.no_grad()
def test_what_a_line_of_patches_cannot_have_is_refused():
    x, t, label = inputs(SMALL)
    line = untrained(VARIANTS["flag"])
    with pytest.raises(ValueError, match="context drop .* in one line"):
        line(x, t, label, drop=ContextDrop(fade="none"))
    with pytest.raises(ValueError, match="no factor per axis"):
        line(x, t, label, rope=RopeScaling("interpolation", (1.0, 2.0)))
    assert line(x, t, label, rope=RopeScaling("interpolation", 2.0)).shape == x.shape
    assert untrained(SMALL)(x, t, label, drop=ContextDrop(fade="none")).shape == x.shape


@torch.no_grad()
def test_flag_dit_pads_masks_and_ends_rows():
    model = randomise(FlagDiT(FlagConfig(dim=32, n_layers=2, n_heads=2, n_kv_heads=1, text_dim=12)))
    x, t, text = torch.randn(2, 4, 5, 7), torch.tensor([0.1, 0.8]), torch.randn(2, 4, 12)
    mask = torch.tensor([[1, 1, 1, 1], [1, 1, 0, 0]])
    out = model(x, t, text, mask)
    assert out.shape == x.shape
    changed = text.clone()
    changed[1, 2:] += 1
    torch.testing.assert_close(model(x, t, changed, mask), out)
    model.eol_token += 1
    assert not torch.allclose(model(x, t, text, mask), out)


@pytest.mark.parametrize(
    "label,number",
    [("ant", 0), (" BEE ", 1), ("2", 2), (2, 2), ("2: cow", 2), ("co", 2), ("1:", 1)],
)
def test_labels_by_name_number_or_part(label, number):
    assert find_label(label, ("ant", "bee", "cow")) == number


@pytest.mark.parametrize(
    "label,known,message",
    [
        ("3", ("ant", "bee", "cow"), "unknown class '3', expected a name or a number from 0 to 2"),
        ("", ("ant", "bee", "cow"), "unknown class ''"),
        ("-1", 5, "expected a number from 0 to 4"),
        ("1: cow", ("ant", "bee", "cow"), "unknown class"),
        ("be", ("bee", "beetle"), "could be 2 classes: 0: bee, 1: beetle"),
        ("crane", ("crane", "crane"), "could be 2 classes: 0: crane, 1: crane"),
        ("bea", ("bee", "cow"), "did you mean 0: bee"),
        ("appel", ("red apple", "cow", "green apple"), "did you mean 0: red apple, 2: green apple"),
    ],
)
def test_labels_that_are_none_or_several_are_explained(label, known, message):
    with pytest.raises(ValueError, match=message):
        find_label(label, known)
