"""Scaled RoPE on our model and on ComfyUI's own: what reaches the network, when it is inert, what it refuses."""

import math

import comfy.model_patcher
import comfy.sd
import pytest
import torch
from comfy.patcher_extension import WrappersMP
from torch.utils._python_dispatch import TorchDispatchMode

from lumina_next.nextdit import NextDiT, RopeScaling, load_model, save_model
from lumina_next.nextdit.layers.rope import Axes
from lumina_next.nextdit.layers.rope_scaling import METHODS
from lumina_next.nodes.adapter.models import loading
from lumina_next.nodes.adapter.models.conditioning import text_conds
from lumina_next.nodes.adapter.patches.scaled_rope import scale_rope
from lumina_next.tests.support.core_models import CORE
from lumina_next.tests.support.patch_models import OWN, load, prompt, sample, spied

TRAIN = 128  # pixels: 8 tokens a side, a latent of 16 × 16


@pytest.mark.parametrize("size", [(16, 16), (10, 24), (7, 13)])
def test_up_to_the_training_size_nothing_changes_by_a_bit(model, size):
    plain = sample(model, size)
    for method in ("time_aware", "time_aware_late", "interpolation"):
        patched, _ = scale_rope(model, method, TRAIN, proportional=True)
        assert torch.equal(sample(patched, size), plain)


def test_above_the_training_size_every_method_but_extrapolation_acts(model):
    plain = sample(model)
    results = [
        (method, sample(scale_rope(model, method, TRAIN, per_axis=per_axis)[0]))
        for method in METHODS
        for per_axis in (False, True)
    ]
    assert [torch.equal(result, plain) for _, result in results] == [m == "extrapolation" for m, _ in results]
    assert torch.equal(sample(model), plain)


def test_a_cached_node_runs_again_and_gives_the_same(model):
    patched, _ = scale_rope(model, "time_aware", TRAIN)
    assert torch.equal(sample(patched), sample(patched))


def test_two_sizes_share_one_patched_model(model):
    patched, _ = scale_rope(model, "time_aware", TRAIN)
    sizes = (24, 40), (32, 16), (16, 16)
    alone = {size: sample(scale_rope(model, "time_aware", TRAIN)[0], size) for size in sizes}
    for size in (*sizes, *reversed(sizes)):
        assert torch.equal(sample(patched, size), alone[size])


def test_a_second_node_replaces_the_first(model):
    twice, _ = scale_rope(scale_rope(model, "interpolation", TRAIN, proportional=True)[0], "ntk_aware", TRAIN)
    assert torch.equal(sample(twice), sample(scale_rope(model, "ntk_aware", TRAIN)[0]))


def test_every_area_crop_has_a_size_of_its_own(model):
    sizes = []

    def look(executor, x, t, *args, **kwargs):
        sizes.append(tuple(x.shape[-2:]))

    patched, settings = scale_rope(model, "interpolation", TRAIN)
    crop = prompt(6, 2, area=(16, 16, 4, 8), strength=1.0)
    both = sample(spied(patched, WrappersMP.APPLY_MODEL, look), positive=prompt(6) + crop)
    assert set(sizes) == {(24, 40), (16, 16)}
    assert settings.at((8, 8)) is None and settings.at((12, 20)).factor == pytest.approx(math.sqrt(240) / 8)
    assert not torch.equal(both, sample(model, positive=prompt(6) + crop))


def test_proportional_attention_acts_by_itself(model):
    plain = sample(model)
    patched, _ = scale_rope(model, "extrapolation", TRAIN, proportional=True)
    assert not torch.equal(sample(patched), plain)
    longer, _ = scale_rope(model, "extrapolation", TRAIN, proportional=True, per_axis=True)
    assert torch.equal(sample(longer, (6, 30)), sample(model, (6, 30)))  # longer, but of fewer tokens


@pytest.mark.parametrize("method", METHODS)
def test_our_network_gets_the_scaling_of_the_formulas(method, tmp_path):
    torch.manual_seed(0)
    network = NextDiT(OWN)
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.15)
    save_model(network, tmp_path / "model.safetensors")
    patched, _ = scale_rope(
        loading.load(tmp_path / "model.safetensors"), method, TRAIN, proportional=True, watershed=0.5, **RETURN
    )
    x, sigma, text = torch.randn(2, 4, 24, 40), torch.tensor([0.7, 0.4]), torch.randn(2, 5, 20)
    conds = text_conds(text, None)
    options = {"wrappers": patched.wrappers}
    with torch.no_grad():
        got = patched.model.apply_model(
            x,
            sigma,
            c_crossattn=conds["c_crossattn"].cond,
            attention_mask=conds["attention_mask"].cond,
            transformer_options=options,
        )
        rope = RopeScaling(method, math.sqrt(12 * 20) / 8, 8, 0.5, proportional=True, **RETURN)
        rope, _ = rope.resolved("lumina_next")
        velocity = load_model(tmp_path / "model.safetensors")(x, 1 - sigma, text, rope=rope)
    torch.testing.assert_close(got, x + sigma[:, None, None, None] * velocity, atol=1e-5, rtol=1e-5)


RETURN = {"return_from": 0.3, "return_to": 0.9}


def formula(method, s, base, width, head_dim, t):
    e = torch.arange(0, width, 2, dtype=torch.float64) / width
    if method == "interpolation":
        return base**-e / s
    if method == "ntk_aware":
        return (base * s ** (1 / e[-1])) ** -e
    if method == "frequency_aware":
        return torch.maximum((base * s ** (1 / (math.log(8 / (2 * math.pi)) / math.log(base)))) ** -e, base**-e / s)
    if method == "time_aware":
        return torch.maximum((base * s ** (head_dim / ((head_dim - 1) * t + 1))) ** -e, base**-e / s)
    if method == "yarn":
        kept = ((8 / (2 * math.pi) * base**-e - 1) / 31).clamp(0, 1)
        return base**-e * (kept + (1 - kept) / s)
    if method in ("time_aware_late", "auto"):  # with eight positions per axis
        u = min(max((t - 0.3) / 0.6, 0.0), 1.0)
        return base**-e / s ** (1 - u * u * (3 - 2 * u) * (1 - e / e[-1]))
    return base**-e / s if t < 0.3 else (base * s) ** -e


@pytest.mark.parametrize("kind", CORE)
@pytest.mark.parametrize("per_axis", [False, True])
@pytest.mark.parametrize("method", list(METHODS)[1:])
def test_cores_embedder_turns_by_the_formulas(kind, method, per_axis):
    model, config = load(kind), CORE[kind]
    ids = torch.zeros(1, {"lumina_image_2": 240, "z_image": 256}[kind], 3)  # as many as the image has, with padding
    ids[0, :, 0], ids[0, 10:50, 1] = torch.arange(ids.shape[1]), torch.arange(40) % 8
    ids[0, 10:50, 2] = torch.arange(40) * 0.5
    plain = model.get_model_object("diffusion_model.rope_embedder")(ids)
    seen = []

    def look(executor, x, timesteps, *args, **kwargs):
        seen.append((float(timesteps[0]), executor.class_obj.rope_embedder(ids)))

    patched, _ = scale_rope(model, method, TRAIN, per_axis=per_axis, **RETURN)
    sample(spied(patched, WrappersMP.DIFFUSION_MODEL, look), steps=3, batch=2)
    widths, total = config["axes_dims"], sum(config["axes_dims"])
    factors = (12 / 8, 20 / 8) if per_axis else (math.sqrt(240) / 8,) * 2
    assert len({sigma for sigma, _ in seen}) == 3
    for sigma, table in seen:
        assert table.shape[1:] == plain.shape[1:]
        first, *images = table.split([width // 2 for width in widths], dim=-3)
        assert torch.equal(first[:1], plain[..., : widths[0] // 2, :, :])  # the axis that text counts on
        for axis, (got, s) in enumerate(zip(images, factors, strict=True), start=1):
            theta = formula(method, s, config["rope_theta"], widths[axis], total, 1 - sigma)
            angles = ids[0, :, axis, None].double() * theta
            expected = torch.stack([angles.cos(), -angles.sin(), angles.sin(), angles.cos()], -1).unflatten(-1, (2, 2))
            for row in got:
                torch.testing.assert_close(row[0].double(), expected, atol=2e-5, rtol=0)
            torch.testing.assert_close(got[0, 0, :10], plain[0, 0, :10, -got.shape[-3] :])  # text stays
    assert torch.equal(model.get_model_object("diffusion_model.rope_embedder")(ids), plain)


@pytest.mark.parametrize("kind", CORE)
def test_core_times_in_one_batch_have_frequencies_of_their_own(kind):
    patched, _ = scale_rope(load(kind), "time_aware", TRAIN)
    patched.patch_model()
    x, sigma, text = torch.randn(2, 16, 24, 40), torch.tensor([0.9, 0.2]), torch.randn(2, 6, 20)
    run = {"num_tokens": 6, "transformer_options": {"wrappers": patched.wrappers}}
    with torch.no_grad():
        both = patched.model.apply_model(x, sigma, c_crossattn=text, **run)
        each = [patched.model.apply_model(x[i, None], sigma[i, None], c_crossattn=text[i, None], **run) for i in (0, 1)]
    patched.unpatch_model()
    torch.testing.assert_close(both, torch.cat(each), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("kind", CORE)
def test_a_run_that_breaks_leaves_nothing_behind(kind):
    model = load(kind)
    plain = sample(model)

    def fail(executor, *args, **kwargs):
        assert patched.object_patches["diffusion_model.rope_embedder"].calls
        raise InterruptedError("stopped by the user")

    patched, _ = scale_rope(model, "interpolation", TRAIN)
    with pytest.raises(InterruptedError):
        sample(spied(patched, WrappersMP.DIFFUSION_MODEL, fail))
    assert patched.object_patches["diffusion_model.rope_embedder"].calls == {}
    assert torch.equal(sample(model), plain)


def test_models_that_cannot_be_hooked_are_refused():
    class SD15(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.diffusion_model = torch.nn.Linear(2, 2)

    other = comfy.model_patcher.ModelPatcher(SD15(), torch.device("cpu"), torch.device("cpu"))
    with pytest.raises(
        ValueError, match="Scaled RoPE works with Lumina-Next models and, .* Z-Image, .* but got a SD15 model"
    ):
        scale_rope(other, "time_aware")


def test_an_embedder_that_another_node_replaced_is_refused():
    model = load("z_image")
    model.add_object_patch("diffusion_model.rope_embedder", torch.nn.Identity())
    with pytest.raises(RuntimeError, match="does not know the position embedding Identity"):
        scale_rope(model, "time_aware")


class CopiesFromTheCpu(TorchDispatchMode):
    """Counts the tensors that are copied from the CPU to another device."""

    count = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        if func is torch.ops.aten._to_copy.default:
            self.count += args[0].device.type == "cpu" != out.device.type
        return out


@pytest.mark.parametrize("method", METHODS)
def test_a_core_models_frequencies_are_made_on_its_device(method):
    t = torch.zeros(2, device="meta")  # a device that can be had everywhere
    with CopiesFromTheCpu() as copies:
        thetas = RopeScaling(method, 2.0).thetas(Axes((16, 24, 24)), t, still=1)[1:]
    assert copies.count == 0 and {theta.device.type for theta in thetas} == {"meta"}
    with CopiesFromTheCpu() as copies:
        torch.zeros(3).to("meta")
    assert copies.count == 1
