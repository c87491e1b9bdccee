"""What 8-bit weights cost on the demo checkpoint, through ComfyUI's own layers."""

import pytest
import torch

from lumina_next.nextdit import load_text_encoder
from lumina_next.nodes.adapter.models import loading
from lumina_next.nodes.adapter.models.conditioning import text_conds
from lumina_next.nodes.adapter.models.demo import DEMO

MODEL = DEMO / "diffusion_models" / "lumina-next-demo.safetensors"


@pytest.fixture(scope="module")
def text():
    with torch.no_grad():
        return load_text_encoder(DEMO / "text_encoders" / "lumina-next-demo")(["fox", "rocket"])


def velocities(text, weight_dtype):
    """Return the velocity of two prompts early, in the middle and late, one after the other."""
    model = loading.load(MODEL, weight_dtype).model
    conds = {key: cond.cond for key, cond in text_conds(*text).items()}
    x = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        found = [model.apply_model(x, torch.full((2,), sigma), **conds) - x for sigma in (0.9, 0.5, 0.1)]
    return torch.stack(found)


def test_three_bits_of_mantissa_beat_two_and_both_stay_close(text, record_property):
    exact = velocities(text, "default")
    errors = {}
    for weight_dtype in ("fp8_e4m3fn", "fp8_e5m2"):
        errors[weight_dtype] = ((velocities(text, weight_dtype) - exact).norm() / exact.norm()).item()
        record_property(weight_dtype, errors[weight_dtype])
    assert 0 < errors["fp8_e4m3fn"] < errors["fp8_e5m2"]
    assert errors["fp8_e4m3fn"] < 0.1 and errors["fp8_e5m2"] < 0.2
