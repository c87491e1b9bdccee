"""ComfyUI's estimate of a call's memory for networks of classes and Flag-DiT, and what torch.compile makes of them."""

from dataclasses import asdict, replace

import comfy.model_management
import comfy.ops
import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from lumina_next.benchmarks.shared.peak import PeakMemory
from lumina_next.nextdit.call import Call
from lumina_next.nextdit.class_config import ClassConfig
from lumina_next.nextdit.layers.attend import sdpa
from lumina_next.nextdit.models import class_image, flag
from lumina_next.nodes.adapter.models.base import image_model
from lumina_next.nodes.adapter.models.class_image import LuminaClassImage, LuminaClassImageConfig
from lumina_next.nodes.adapter.models.flag import LuminaT2I, LuminaT2IConfig
from lumina_next.tests.support.untrained_classes import untrained

NEXT = ClassConfig(dim=1536, n_layers=2, n_heads=32, n_kv_heads=32)
T2I = flag.FlagConfig(dim=3072, n_layers=2, n_heads=32, n_kv_heads=32, text_dim=4096)
CASES = {
    "next": (NEXT, LuminaClassImage, LuminaClassImageConfig, class_image.FAMILY),
    "flag": (replace(NEXT, block="flag"), LuminaClassImage, LuminaClassImageConfig, class_image.FAMILY),
    "t2i": (T2I, LuminaT2I, LuminaT2IConfig, flag.FAMILY),
}
SHAPES = ((1, 32, 32), (8, 32, 32), (2, 128, 128))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32], ids=["bfloat16", "float32"])
@pytest.mark.parametrize("name", CASES)
def test_the_estimate_is_near_the_peak(name, dtype, monkeypatch, record_property):
    monkeypatch.setattr(comfy.model_management, "pytorch_attention_flash_attention", lambda: True)
    config, model_class, config_class, family = CASES[name]
    settings = config_class({"image_model": image_model(family), **asdict(config)})
    settings.set_inference_dtype(dtype, None)
    settings.custom_operations = comfy.ops.disable_weight_init
    fused = Call(attend=lambda q, k, v, mask: torch.empty_like(q))
    with FakeTensorMode(allow_non_fake_inputs=True), torch.no_grad():
        model = model_class(settings, device="cuda")
        for batch, height, width in SHAPES:
            x = torch.empty(batch, 4, height, width, device="cuda", dtype=dtype)
            given = torch.empty(batch, 1 if family is class_image.FAMILY else 128, 1000, device="cuda", dtype=dtype)
            if family is flag.FAMILY:
                given = torch.empty(batch, 128, config.text_dim, device="cuda", dtype=dtype)
            with PeakMemory() as memory:
                model.diffusion_model.velocity(x, torch.empty(batch, device="cuda"), given, call=fused)
            estimate, counted = model.memory_required(list(x.shape)) / 2**20, memory.peak / 2**20
            record_property(f"{tuple(x.shape)} estimate of counted, MiB", f"{estimate:.1f} of {counted:.1f}")
            assert 0.7 < estimate / counted < 1.3, f"{tuple(x.shape)}: {estimate:.1f} of {counted:.1f} MiB"


@torch.no_grad()
@pytest.mark.parametrize("name", ["next", "flag", "t2i"])
def test_one_graph(name):
    network = untrained(name)
    x, t = torch.randn(2, 4, 6, 8), torch.tensor([0.2, 0.7])
    given = torch.randn(2, 5, 24) if name == "t2i" else torch.eye(3)[:2]
    compiled = torch.compile(network, backend="eager", fullgraph=True)
    torch.testing.assert_close(compiled(x, t, given, attend=sdpa), network(x, t, given, attend=sdpa))
