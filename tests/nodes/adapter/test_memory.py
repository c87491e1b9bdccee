"""ComfyUI's estimate of a call's memory, against what the call allocates on a GPU that is only pretended."""

from dataclasses import asdict

import comfy.model_management
import comfy.ops
import pytest
import torch
from comfy.ldm.modules import attention
from torch._subclasses.fake_tensor import FakeTensorMode

from lumina_next.benchmarks.shared.peak import PeakMemory
from lumina_next.nextdit.call import Call
from lumina_next.nextdit.config import PRESETS, NextDiTConfig
from lumina_next.nextdit.models import image, multiview
from lumina_next.nextdit.models.multiview import Views
from lumina_next.nodes.adapter.models.base import image_model
from lumina_next.nodes.adapter.models.image import LuminaNext, LuminaNextConfig
from lumina_next.nodes.adapter.models.multiview import LuminaNextMultiView, LuminaNextMultiViewConfig
from lumina_next.nodes.adapter.models.views import IMAGE
from lumina_next.tests.support.pretended_gpu import pretended

PIXELS = NextDiTConfig(
    dim=512, n_layers=8, n_heads=8, n_kv_heads=4, text_dim=384, in_channels=3, out_channels=3, patch_size=4
)


# (batch, height, width) of latents: pictures of 256² to 4096², guidance pairs and a wide one among them
SHAPES = (
    (1, 32, 32),
    (1, 64, 64),
    (2, 64, 64),
    (1, 128, 128),
    (2, 128, 128),
    (2, 64, 256),
    (2, 256, 256),
    (1, 512, 512),
)

FUSED = Call(attend=lambda q, k, v, mask: torch.empty_like(q))


def peak(model, config, batch, height, width, dtype):
    """Count what one call of the network allocates; attention as fused kernels do it, which keep no scores."""
    x = torch.empty(batch, config.in_channels, height, width, device="cuda", dtype=dtype)
    text = torch.empty(batch, 128, config.text_dim, device="cuda", dtype=dtype)
    with PeakMemory() as memory:
        model.velocity(x, torch.empty(batch, device="cuda"), text, call=FUSED)
    return memory.peak


def peak_of_views(model, config, sets, views, side, image, dtype):
    """Count what one call for sets of views allocates, with or without a condition image."""
    shape = (config.in_channels, side, side)
    x = torch.empty(sets, views, *shape, device="cuda", dtype=dtype)
    seen = torch.empty(sets, *shape, device="cuda", dtype=dtype) if image else None
    text = torch.empty(sets, 128, config.text_dim, device="cuda", dtype=dtype)
    azimuth = torch.empty(sets, views, device="cuda")
    with PeakMemory() as memory:
        model.velocity(Views(x, azimuth, seen), torch.empty(sets, device="cuda"), text, call=FUSED)
    return memory.peak


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32], ids=["bfloat16", "float32"])
@pytest.mark.parametrize("name", [*PRESETS, "pixels"])
def test_the_estimate_is_within_a_tenth_of_the_peak(name, dtype, monkeypatch, record_property):
    monkeypatch.setattr(comfy.model_management, "pytorch_attention_flash_attention", lambda: True)
    config = PRESETS.get(name, PIXELS)
    settings = LuminaNextConfig({"image_model": image_model(image.FAMILY), **asdict(config), "n_layers": 2})
    settings.set_inference_dtype(dtype, None)
    settings.custom_operations = comfy.ops.disable_weight_init
    with FakeTensorMode(allow_non_fake_inputs=True), torch.no_grad():  # one for all: a second copies the weights
        model = LuminaNext(settings, device="cuda")
        for batch, height, width in SHAPES:
            shape = [batch, config.in_channels, height, width]
            estimate = model.memory_required(shape) / 2**20
            counted = peak(model.diffusion_model, config, batch, height, width, dtype) / 2**20
            record_property(f"{shape} counted, MiB", round(counted, 1))
            record_property(f"{shape} estimate, MiB", round(estimate, 1))
            slack = 0.25 if counted < 16 else 0.1  # a picture's own numbers count where there are few tokens
            assert abs(estimate / counted - 1) < slack, f"{shape}: {estimate:.1f} of {counted:.1f} MiB"


GIB = 2**30
"""What a call at 2048² with guidance may take beside the weights: math attention alone would take 64 for its scores."""


@pytest.mark.parametrize("masked", [False, True], ids=["whole text", "padded text"])
@pytest.mark.parametrize(
    "capability, dtype, limit",
    [
        ((7, 5), torch.float32, 6),
        ((8, 6), torch.float32, 6),
        ((9, 0), torch.float32, 6),
        ((8, 6), torch.bfloat16, 3),
        ((9, 0), torch.bfloat16, 3),
    ],
    ids=str,
)
@pytest.mark.parametrize("where", ["ComfyUI", "PyTorch"])
def test_attention_keeps_no_scores_on_any_card(where, capability, dtype, limit, masked, monkeypatch, record_property):
    monkeypatch.setattr(attention, "optimized_attention", attention.attention_pytorch)  # core's choice on such a card
    settings = LuminaNextConfig({"image_model": image_model(image.FAMILY), **asdict(PRESETS["2B"]), "n_layers": 2})
    settings.set_inference_dtype(dtype, None)
    settings.custom_operations = comfy.ops.disable_weight_init
    with pretended(capability) as card, torch.no_grad():
        network = LuminaNext(settings, device="cuda").diffusion_model
        x, t = torch.empty(2, 4, 256, 256, device="cuda", dtype=dtype), torch.empty(2, device="cuda")
        text = torch.empty(2, 128, 2048, device="cuda", dtype=dtype)
        mask = torch.empty(2, 128, device="cuda", dtype=torch.long) if masked else None
        with PeakMemory() as memory:
            if where == "ComfyUI":
                network(x, t, text, mask, None, {})
            else:
                network.velocity(x, t, text, mask)
    record_property("GiB", round(memory.peak / GIB, 2))
    assert memory.peak < limit * GIB and set(card.chosen) <= {"flash", "efficient"} and len(card.chosen) == 4


# (sets, views, side of a view's latent, whether with an image): the guidance pair is two sets
VIEWS = ((1, 1, 64, True), (1, 8, 64, False), (1, 8, 64, True), (2, 8, 32, False), (1, 18, 32, True))


@pytest.mark.parametrize("name", ["600M", "pixels"])
def test_the_estimate_counts_all_views_and_the_image(name, monkeypatch, record_property):
    monkeypatch.setattr(comfy.model_management, "pytorch_attention_flash_attention", lambda: True)
    config, dtype = PRESETS.get(name, PIXELS), torch.bfloat16
    settings = LuminaNextMultiViewConfig(
        {"image_model": image_model(multiview.FAMILY), **asdict(config), "n_layers": 2, "rope_axes": 2}
    )
    settings.set_inference_dtype(dtype, None)
    settings.custom_operations = comfy.ops.disable_weight_init
    with FakeTensorMode(allow_non_fake_inputs=True), torch.no_grad():
        model = LuminaNextMultiView(settings, device="cuda")
        for sets, views, side, image in VIEWS:
            shape = [sets * views, config.in_channels, side, side]
            seen = {IMAGE: [[sets, config.in_channels, side, side]]} if image else {}
            estimate = model.memory_required(shape, cond_shapes=seen) / 2**20
            counted = peak_of_views(model.diffusion_model, config, sets, views, side, image, dtype) / 2**20
            record_property(f"{shape} counted, MiB", round(counted, 1))
            record_property(f"{shape} estimate, MiB", round(estimate, 1))
            slack = 0.25 if counted < 16 else 0.1  # a picture's own numbers count where there are few tokens
            assert abs(estimate / counted - 1) < slack, f"{shape}: {estimate:.1f} of {counted:.1f} MiB"
