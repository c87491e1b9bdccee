"""Scaled RoPE as a node: its dropdown, its readout, and the training size it goes by."""

import comfy.model_patcher
import comfy.sd
import pytest
import torch
from comfy.patcher_extension import WrappersMP

from lumina_next.nextdit import NextDiT, NextDiTConfig, save_model
from lumina_next.nextdit.layers.rope_scaling import DEFAULT, METHODS
from lumina_next.nodes.adapter.host import core_attention
from lumina_next.nodes.adapter.host.core_attention import OVERRIDE
from lumina_next.nodes.adapter.models import loading
from lumina_next.nodes.adapter.patches import scaled_rope
from lumina_next.nodes.adapter.patches.scaled_rope import Settings, describe, draw_readout, scale_rope
from lumina_next.nodes.model.scaled_rope import ScaledRope
from lumina_next.tests.nodes.model.test_patch_scaled_rope import TRAIN
from lumina_next.tests.support.patch_models import load, load_own, sample


def test_the_training_size_is_the_models(model):
    z_image = model.model.model_config.unet_config.get("z_image_modulation", False)
    assert scale_rope(model, "time_aware")[1].train_tokens == (128 if z_image else 64)
    assert scale_rope(model, "time_aware", 2048)[1].train_tokens == 128
    with pytest.raises(
        ValueError, match="train_size is 96 pixels, which are 6 tokens of 16 pixels; expected at least 1"
    ):
        scale_rope(model, "time_aware", 96)


PIXELS = NextDiTConfig(dim=32, n_layers=1, n_heads=2, n_kv_heads=1, text_dim=20, in_channels=3, out_channels=3)


def test_the_file_may_say_its_training_size(tmp_path):
    for metadata, expected in (({"train_tokens": "32"}, 32), ({}, None)):
        save_model(NextDiT(PIXELS), tmp_path / "pixels.safetensors", metadata)
        for loaded in (loading.load, lambda path: comfy.sd.load_diffusion_model(str(path))):
            model = loaded(tmp_path / "pixels.safetensors")
            if expected:
                assert scale_rope(model, "time_aware")[1].train_tokens == expected
                continue
            with pytest.raises(ValueError, match="does not say on which image size it was trained: set train_size"):
                scale_rope(model, "time_aware")
            assert scale_rope(model, "time_aware", 64)[1].train_tokens == 32


@pytest.mark.parametrize("text", ["6", "64 px", "-3", "3.5"])
def test_a_training_size_in_the_file_that_is_none(text):
    with pytest.raises(ValueError, match=f"metadata says train_tokens = '{text}'; expected a whole number of tokens"):
        load_own(PIXELS, {"train_tokens": text})


def test_bad_times_are_refused_before_sampling():
    with pytest.raises(ValueError, match="watershed must be from 0 to 1, got 2"):
        scale_rope(load_own(), "time_aware_watershed", watershed=2.0)
    with pytest.raises(ValueError, match="got return_from 0.95 and return_to 0.9"):
        scale_rope(load_own(), "time_aware_late", return_from=0.95)


def test_the_node_patches_and_draws(monkeypatch):
    from comfy_api.latest import ui

    drawn = []
    monkeypatch.setattr(ui, "PreviewImage", lambda image, cls=None: drawn.append(image))
    model = load_own()
    method = {"method": "time_aware_watershed", "watershed": 0.4}
    latent = {"samples": torch.zeros(1, 4, 128, 512)}
    for connected in (None, latent):
        out = ScaledRope.execute(model, method, "per_axis", True, TRAIN, connected)
        assert out.result[0].wrappers[WrappersMP.APPLY_MODEL].keys() == {"lumina_next_scaled_rope"}
    flat = {"method.watershed": 0.4}  # what releases without DynamicCombo hand over
    patched = ScaledRope.execute(model, "time_aware_watershed", "per_axis", True, TRAIN, **flat).result[0]
    assert torch.equal(sample(patched), sample(out.result[0]))
    assert [image.shape for image in drawn] == [(1, 250, 360, 3)] * 3
    assert torch.equal(drawn[0], drawn[2]) and not torch.equal(drawn[0], drawn[1])


def test_the_dropdown_opens_on_the_default_and_shows_each_methods_options_only():
    (method,) = (entry for entry in ScaledRope.define_schema().inputs if entry.id == "method")
    shown = {option.key: [entry.id for entry in option.inputs] for option in method.options}
    assert next(iter(shown)) == DEFAULT == "auto"
    assert {key: names for key, names in shown.items() if names} == {
        "time_aware_late": ["return_from", "return_to"],
        "time_aware_watershed": ["watershed"],
    }
    assert set(shown) == set(METHODS)


def test_auto_is_the_method_it_says(model):
    z_image = model.model.model_config.unet_config.get("z_image_modulation", False)
    own = model.model.model_config.unet_config["image_model"] != "lumina2"
    settings = scale_rope(model, "auto")[1]
    assert settings.method == ("time_aware_watershed" if own else "time_aware_late")
    assert settings.proportional == (not z_image)  # which was not measured
    line = describe(settings, (256, 256), 16)
    side = 2048 if z_image else 1024
    assert line.startswith(f"4096 × 4096 is {4096 // side} times the native {side} × {side}: auto: {settings.method}, ")
    few = scale_rope(model, "auto", TRAIN)[1]
    named = scale_rope(model, "time_aware_late", TRAIN, proportional=few.proportional)
    if not own:  # whose makers' demos are followed at any size
        assert few.method == "time_aware_late" and few.proportional == (not z_image)
        assert torch.equal(sample(scale_rope(model, "auto", TRAIN)[0]), sample(named[0]))
    assert "auto" not in describe(named[1], (16, 16), 16)


def test_auto_goes_without_what_an_old_comfyui_cannot_do(monkeypatch):
    core, small = load("lumina_image_2"), {"train_size": TRAIN}
    monkeypatch.setattr(core_attention, "main_layers_say_their_number", lambda: False)
    patched, settings = scale_rope(core, "auto", **small)
    assert settings.method == "time_aware_late" and not settings.proportional
    assert describe(settings, (256, 256), 16).endswith("attention, which this ComfyUI is too old for: without it")
    assert torch.equal(sample(patched), sample(scale_rope(core, "time_aware_late", **small)[0]))
    with pytest.raises(RuntimeError, match="Proportional attention cannot hook Lumina-Image-2.0"):
        scale_rope(core, "auto", **small, proportional=True)  # who asks for it is told


def test_auto_goes_on_where_another_node_attends_in_its_place(monkeypatch, caplog):
    """What nobody asked for is no reason to stop; what somebody did is."""
    core, small, said = load("lumina_image_2"), {"train_size": TRAIN}, []
    monkeypatch.setattr(scaled_rope, "running_node", lambda: "7")
    monkeypatch.setattr(scaled_rope, "say", lambda node, text: said.append(text))
    network = type(core.model.diffusion_model)
    forward = network._forward

    def attends_alone(self, *args, **kwargs):
        options = kwargs["transformer_options"]
        return forward(
            self, *args, **kwargs | {"transformer_options": {k: options[k] for k in options if k != OVERRIDE}}
        )

    monkeypatch.setattr(network, "_forward", attends_alone)
    alone = sample(scale_rope(core, "auto", **small)[0])
    assert torch.equal(alone, sample(scale_rope(core, "time_aware_late", **small)[0]))
    assert len([text for text in said if "auto goes on without: Proportional attention did not reach" in text]) == 1
    assert caplog.text.count("goes on without") == 1
    with pytest.raises(RuntimeError, match="Proportional attention did not reach this model's attention"):
        sample(scale_rope(core, "auto", **small, proportional=True)[0])


def test_the_readout_is_the_same_after_a_patched_run_and_on_a_patched_model(model):
    patched, settings = scale_rope(model, "interpolation", TRAIN)
    expected = draw_readout(model, settings)
    sample(patched)
    assert torch.equal(draw_readout(model, settings), expected)
    assert torch.equal(draw_readout(patched, settings), expected)


@pytest.mark.parametrize("method", METHODS)
def test_the_readout_draws_every_method_also_at_the_training_size(method):
    model, settings = load_own(), Settings(method, 64)
    small = draw_readout(model, settings, {"samples": torch.zeros(1, 4, 64, 64)})
    large = draw_readout(model, settings, {"samples": torch.zeros(1, 4, 64, 64), "downscale_ratio_spacial": 32})
    assert small.shape == large.shape == (1, 250, 360, 3)
    assert 0 <= small.min() and small.max() <= 1 and not torch.equal(small, large)
