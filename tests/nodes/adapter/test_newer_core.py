"""What newer ComfyUI brought to attention: preferred functions, recordings, a node for sparse attention."""

import logging
from contextlib import contextmanager

import pytest
import torch
from comfy import model_prefetch
from comfy.ldm.modules import attention

from lumina_next.nextdit import ContextDrop
from lumina_next.nodes.adapter.host import core_attention, core_trial, progress
from lumina_next.nodes.adapter.host.core_regions import HeardTexts
from lumina_next.nodes.adapter.patches import context_drop, scaled_rope
from lumina_next.nodes.adapter.patches.context_drop import drop_context
from lumina_next.nodes.adapter.patches.regions import add_region
from lumina_next.nodes.adapter.patches.scaled_rope import Settings, describe, scale_rope
from lumina_next.tests.support.core_families import CASES, load_family, noise
from lumina_next.tests.support.core_families import call as call_family
from lumina_next.tests.support.newer_core import Preference, call, load_newer
from lumina_next.tests.support.patch_models import load, load_own, prompt, sample

DROP = ContextDrop(2, "none")
PATCHES = {
    "nothing": lambda model: model,
    "Scaled RoPE": lambda model: scale_rope(model, "interpolation", 112)[0],
    "Context Drop": lambda model: drop_context(model, DROP),
    "proportional attention": lambda model: scale_rope(model, "extrapolation", 112, proportional=True)[0],
    "both": lambda model: drop_context(scale_rope(model, "interpolation", 112, proportional=True)[0], DROP),
}


def latent() -> torch.Tensor:
    return torch.randn(1, 16, 1, 20, 24, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def preferring():
    """A MODEL whose main layers and first refiner prefer functions of their own, and the names of those that ran."""
    model, ran = load_newer(), []

    def prefer(layer, name):
        def function(*args, **kwargs):
            ran.append(name)
            kwargs.pop("transformer_options")
            return attention.attention_pytorch(*args, **kwargs)

        layer.attention.comfy_attention.function = function

    network = model.model.diffusion_model
    for i, layer in enumerate(network.layers):
        prefer(layer, i)
    prefer(network.context_refiner[0], "text")
    return model, ran


@pytest.mark.parametrize("patch", PATCHES.values(), ids=PATCHES)
def test_no_patch_costs_a_layer_the_attention_that_its_checkpoint_prefers(preferring, patch):
    model, ran = preferring
    call(patch(model), latent())
    assert ran == ["text", 0, 1, 2]


@pytest.mark.parametrize("name", ["Context Drop", "both"])
def test_an_earlier_override_stands_before_what_a_checkpoint_prefers(preferring, name):
    model, ran = preferring
    lengths = []

    def override(func, q, k, v, heads, mask=None, **kwargs):
        lengths.append((q.shape[2], k.shape[2]))
        return func(q, k, v, heads, mask=mask, **kwargs)

    call(PATCHES[name](model), latent(), override)
    assert ran == [] and lengths == [(10, 10), (120, 120)] + [(130, 40)] * 3


def test_a_layer_without_preference_attends_as_ever(preferring):
    model, ran = preferring
    model.model.diffusion_model.layers[1].attention.comfy_attention.function = None
    assert torch.isfinite(call(PATCHES["both"](model), latent())).all()
    assert ran == ["text", 0, 2]


def test_a_replayed_network_is_not_blamed_on_torch_compile():
    """As from a CUDA graph: the second call answers without running the network's layers."""
    model = load_newer()
    recorded = call(model, latent())
    patched = drop_context(model, DROP)
    network, forward = model.model.diffusion_model, type(model.model.diffusion_model)._forward
    try:
        type(network)._forward = lambda self, *args, **kwargs: recorded
        with pytest.raises(RuntimeError, match="Context Drop did not reach .* replayed from a recording") as error:
            call(patched, latent())
    finally:
        type(network)._forward = forward
    assert "torch.compile" not in str(error.value)


def test_layers_that_do_not_say_who_they_are_are_an_error(monkeypatch):
    model = load_newer()
    monkeypatch.setattr(core_attention, "main_layers_say_their_number", lambda: True)

    class Silent(dict):
        def __setitem__(self, key, value):
            if key != "block_type":
                super().__setitem__(key, value)

    forward = type(model.model.diffusion_model)._forward
    with monkeypatch.context() as patch:
        patch.setattr(
            type(model.model.diffusion_model),
            "_forward",
            lambda self, *args, **kwargs: forward(
                self, *args, **kwargs | {"transformer_options": Silent(kwargs["transformer_options"])}
            ),
        )
        with pytest.raises(RuntimeError, match="Context Drop did not reach .* do not say which one attends"):
            call(drop_context(model, DROP), latent())


def test_a_release_is_tried_out_not_read():
    core_trial.tried.cache_clear()
    assert core_attention.main_layers_say_their_number()
    source = open(core_trial.__file__, encoding="utf-8").read()
    assert "getsource" not in source


def sparse(model):
    """What core's Model Sparse Attention does to a MODEL where it declines: an override that is of its module."""

    def override(func, *args, **kwargs):
        return func(*args, **kwargs)

    override.__module__ = "comfy_extras.nodes_sparse_attention"
    clone = model.clone()
    clone.model_options["transformer_options"]["optimized_attention_override"] = override
    return clone


@pytest.mark.parametrize("kind", ["lumina_next", "z_image"])
def test_with_model_sparse_attention_context_drop_says_that_they_do_not_add_up(kind, caplog, monkeypatch):
    said = []
    monkeypatch.setattr(context_drop, "say", lambda node, text: said.append(text))
    with caplog.at_level(logging.WARNING):
        sample(drop_context(sparse(load(kind)), DROP))
        sample(sparse(drop_context(load(kind), DROP)))
    warnings = [record.message for record in caplog.records if "Model Sparse Attention" in record.message]
    assert len(warnings) == len(said) == 2 and "Remove one of the two" in warnings[0]
    caplog.clear()
    sample(drop_context(load(kind), DROP))
    assert not [record for record in caplog.records if "Sparse" in record.message] and len(said) == 2


def test_the_node_says_what_becomes_of_a_size(monkeypatch):
    said = []
    monkeypatch.setattr(scaled_rope, "say", lambda node, text: said.append((node, text)))
    monkeypatch.setattr(scaled_rope, "running_node", lambda: "7")
    patched, _ = scale_rope(load_own(), "interpolation", 128)
    for size in ((16, 16), (24, 40), (24, 40)):
        sample(patched, size)
    assert said == [
        ("7", "128 × 128 is within the model's native size (up to 128 × 128): nothing changes"),
        ("7", "320 × 192 is 1.94 times the native 128 × 128: interpolation"),
    ]
    z_image = Settings("time_aware", 128, per_axis=True, any_aspect=True)
    assert describe(z_image, (64, 256), 16).endswith("native size (up to 2048 × 2048 in area): nothing changes")
    assert describe(z_image, (128, 256), 16) == "4096 × 2048 is 2 × 1 times the native 2048 × 2048: time_aware"


def test_texts_on_nodes_are_sent_only_where_there_is_a_server():
    progress.say(None, "nobody sees this")
    assert progress.running_node() is None


ATTENDS = {  # where newer core keeps a preference, in the order in which these attend
    "FLUX.1": ["double_blocks.0", "single_blocks.0"],
    "Chroma": ["double_blocks.0", "single_blocks.0"],
    "Qwen-Image": ["transformer_blocks.0.attn", "transformer_blocks.1.attn"],
    "Krea 2": [
        *(f"txtfusion.{kind}_blocks.{i}.attn" for kind in ("layerwise", "refiner") for i in range(2)),
        "blocks.0.attn",
        "blocks.1.attn",
    ],
    "HunyuanVideo 1.5": [
        *(f"txt_in.individual_token_refiner.blocks.{i}.self_attn" for i in range(2)),
        "double_blocks.0",
        "single_blocks.0",
    ],
    "Wan": [f"blocks.{i}.{kind}_attn" for i in range(2) for kind in ("self", "cross")],
    "Kandinsky 5": [
        "text_transformer_blocks.0.self_attention",
        *(f"visual_transformer_blocks.{i}.{kind}_attention" for i in range(2) for kind in ("self", "cross")),
    ],
}


@pytest.mark.parametrize("name", ATTENDS)
def test_every_family_keeps_the_attention_that_its_checkpoint_prefers(name):
    case, ran = CASES[name], []
    model = load_family(case)
    for place in ATTENDS[name]:
        module = model.model.diffusion_model.get_submodule(place)
        module.comfy_attention = Preference()

        def function(*args, place=place, **kwargs):
            ran.append(place)
            return attention.attention_pytorch(*args, **kwargs)

        module.comfy_attention.function = function
    x = noise(1, *case.latent)
    assert torch.isfinite(call_family(drop_context(model, DROP), x, case)).all()
    assert ran == ATTENDS[name]
    ran.clear()
    call_family(drop_context(model, DROP), x, case, lambda func, *args, **kwargs: func(*args, **kwargs))
    assert not ran  # another node's override stands before what a checkpoint prefers, as in core


def test_a_network_of_a_known_class_that_core_calls_by_another_name_has_no_size_of_that_class():
    model = load_family(CASES["FLUX.2 with a reference"])
    assert scale_rope(model, "time_aware")[1].train_tokens == 128
    model.model.model_config.unet_config["image_model"] = "flux9"
    with pytest.raises(ValueError, match="set train_size to that size"):
        scale_rope(model, "time_aware")


def test_what_outlives_a_layer_is_made_while_cores_compiler_does_not_record(monkeypatch):
    """It plans the memory of a layer by an earlier one; the groups of regional prompts are for all layers."""
    paused, made = [], []

    @contextmanager
    def pause():
        paused.append(True)
        yield
        paused.pop()

    monkeypatch.setattr(model_prefetch, "pause_malloc_graph", pause, raising=False)
    groups = HeardTexts.groups
    monkeypatch.setattr(HeardTexts, "groups", lambda *args: made.append(bool(paused)) or groups(*args))
    mask = torch.zeros(1, 24, 40)
    mask[..., :20] = 1.0
    settings = {"strength": 1.0, "global_weight": 0.0, "start_percent": 0.0, "end_percent": 1.0}
    sample(load("z_image"), steps=1, cfg=1.0, positive=add_region(prompt(6), prompt(4, 1), mask, False, **settings))
    assert made and all(made) and not paused
