"""Networks of classes and Flag-DiT in ComfyUI: loaded, sampled as the flow goes, saved, patched, refused."""

import comfy.latent_formats
import comfy.lora
import comfy.sample
import comfy.sd
import pytest
import torch
from safetensors.torch import save_file

from lumina_next.nextdit import ContextDrop, load_model, save_model
from lumina_next.nextdit.quantised import marker
from lumina_next.nodes.adapter.lora.apply import apply
from lumina_next.nodes.adapter.lora.apply import load as load_lora
from lumina_next.nodes.adapter.models import class_image, loading
from lumina_next.nodes.adapter.patches.context_drop import drop_context
from lumina_next.nodes.adapter.patches.regions import add_region
from lumina_next.nodes.adapter.patches.scaled_rope import draw_readout, scale_rope
from lumina_next.nodes.adapter.sampling.guidance import guide_channels
from lumina_next.samplers import guide, integrate
from lumina_next.tests.nextdit.test_ranks import write as write_ranks
from lumina_next.tests.support.untrained_classes import CLASSES, LABELS, TEXT_DIM, untrained

NAMES = (*CLASSES, "t2i")
STEPS = 2


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("classes")
    for name in NAMES:
        save_model(untrained(name), folder / f"{name}.safetensors")
    return folder


def conditions(model, label="bee"):
    if isinstance(model.model, class_image.LuminaClassImage):
        return class_image.class_conditioning(model, "1: goldfish", label)[:2]
    texts = torch.randn(2, 1, 5, TEXT_DIM, generator=torch.Generator().manual_seed(3))
    return [[texts[0], {}]], [[texts[1][:, :2], {}]]


def start(batch=1, size=(6, 10)):
    return torch.randn(batch, 4, *size, generator=torch.Generator().manual_seed(0))


def sample(model, positive=None, negative=None, noise=None, cfg=4.0):
    given = conditions(model) if positive is None or negative is None else (positive, negative)
    noise = start() if noise is None else noise
    return comfy.sample.sample(
        model,
        noise,
        STEPS,
        cfg,
        "euler",
        "simple",
        positive or given[0],
        negative or given[1],
        torch.zeros_like(noise),
        sigmas=torch.linspace(1, 0, STEPS + 1),
        seed=0,
        disable_pbar=True,
    )


def latents_of(model, samples):
    return model.model.process_latent_in(samples)  # undo the scale that comes out of core's sampling


@torch.no_grad()
@pytest.mark.parametrize("name", NAMES)
def test_ksampler_follows_the_flow_with_guidance_on_three_channels(files, name):
    model, network = loading.load(files / f"{name}.safetensors"), untrained(name)
    (positive, _), (negative, _) = (given[0] for given in conditions(model, "" if name == "imagenet" else "bee"))

    def velocity(x, t):
        one, none = (
            network.velocity(x, t.float().expand(1), text) if name != "t2i" else network(x, t.float().expand(1), text)
            for text in (positive, negative)
        )
        return guide(one, none, 4.0, 3)

    expected = integrate(velocity, start(), torch.linspace(0, 1, STEPS + 1), "euler")
    guided = guide_channels(model, 3)
    samples = sample(guided, [[positive, {}]], [[negative, {}]])
    torch.testing.assert_close(latents_of(model, samples), expected, rtol=1e-3, atol=2e-3)


@pytest.mark.parametrize("name", NAMES)
def test_saved_by_core_it_is_the_same_model(files, tmp_path, name):
    model, path = loading.load(files / f"{name}.safetensors"), str(tmp_path / "saved.safetensors")
    comfy.sd.save_checkpoint(path, model)
    given = conditions(model, "" if name == "imagenet" else "bee")
    for again in (comfy.sd.load_diffusion_model(path), loading.load(path)):
        assert again.model.diffusion_model.config == model.model.diffusion_model.config
        torch.testing.assert_close(sample(again, *given), sample(model, *given), atol=0, rtol=0)
    assert load_model(path).config == model.model.diffusion_model.config


def test_ranks_and_what_lies_beside_them(tmp_path):
    folder = write_ranks(tmp_path / "Lumina-T2I", untrained("t2i"), 1)
    whole = sample(loading.load(folder))
    (folder / "consolidated.00-of-01.pth").rename(folder / "consolidated.00-of-02.pth")
    (folder / "model_args.pth").write_bytes(b"never opened")
    with pytest.raises(FileNotFoundError, match=r"1 are missing: consolidated\.01-of-02\.pth; put all parts"):
        loading.load(folder)
    with pytest.raises(ValueError, match="holds no weights but the arguments of a training"):
        loading.load(folder / "model_args.pth")
    halves = write_ranks(tmp_path / "halves", untrained("next"))
    for rank in range(2):
        file = halves / f"consolidated.{rank:02d}-of-02.pth"
        torch.save(torch.load(file) | {"n_heads": torch.tensor(2)}, file)
    joined = loading.load(halves)
    assert joined.model.diffusion_model.config.norm_groups == 2
    assert sample(joined, *class_image.class_conditioning(joined, "1: goldfish", "")[:2]).isfinite().all()
    assert whole.isfinite().all()


def test_classes_have_the_latents_of_stable_diffusion_1_and_flag_dit_those_of_sdxl(files):
    kinds = {name: loading.load(files / f"{name}.safetensors") for name in ("next", "t2i")}
    assert isinstance(kinds["next"].model.latent_format, comfy.latent_formats.SD15)
    assert isinstance(kinds["t2i"].model.latent_format, comfy.latent_formats.SDXL)
    said = loading.describe(kinds["next"])
    assert said == (
        "Next-DiT, 3 classes to image, trained at 256 × 256; VAE: one of Stable Diffusion 1 "
        "(vae-ft-ema-560000-ema-pruned.safetensors)"
    )
    assert "Flag-DiT, text to image, trained at 1024 × 1024; VAE: an SDXL VAE" in loading.describe(kinds["t2i"])


def test_each_picture_of_a_batch_has_a_class_of_its_own(files):
    model = loading.load(files / "next.safetensors")
    positive, negative, called = class_image.class_conditioning(model, "", "bee, 2,ant")
    assert called == "1: bee, 2: cow, 0: ant"
    noise = start().repeat(3, 1, 1, 1)
    together = sample(model, positive, negative, noise)
    for row, label in zip(together, ("bee", "cow", "ant"), strict=True):
        torch.testing.assert_close(row[None], sample(model, *conditions(model, label)), rtol=1e-4, atol=1e-4)


def test_imagenets_classes_by_list_name_and_number(files):
    model = loading.load(files / "imagenet.safetensors")
    for imagenet_class, labels, number in (
        ("207: golden retriever", "", 207),
        ("207: golden retriever", "360", 360),
        ("0: tench", "Arctic fox", 279),
    ):
        positive, negative, called = class_image.class_conditioning(model, imagenet_class, labels)
        assert positive[0][0].argmax() == number and called.startswith(f"{number}: ")
        assert not negative[0][0].any()
    with pytest.raises(ValueError, match="'terrier' could be .* classes: .*: Bedlington terrier"):
        class_image.class_conditioning(model, "0: tench", "terrier")
    with pytest.raises(ValueError, match=r"unknown class .* from 0 to 999"):
        class_image.class_conditioning(model, "0: tench", "1000")


def test_wrong_input_is_an_error_that_helps(files):
    named, text = (loading.load(files / f"{name}.safetensors") for name in ("next", "t2i"))
    with pytest.raises(ValueError, match=f"classes of its own, not ImageNet's: .* of {', '.join(LABELS)}"):
        class_image.class_conditioning(named, "0: tench", " ")
    with pytest.raises(ValueError, match="Class Label works with class-conditional Lumina models"):
        class_image.class_conditioning(text, "0: tench", "")
    with pytest.raises(ValueError, match="from a class: connect Class Label .* in place of CLIP Text Encode"):
        sample(named, [[torch.zeros(1, 5, TEXT_DIM), {}]])
    with pytest.raises(ValueError, match=r"text features are 3 wide"):
        sample(text, *conditions(named))


@pytest.mark.parametrize("name", ["next", "t2i"])
def test_regional_prompts_are_refused(files, name):
    model = loading.load(files / f"{name}.safetensors")
    positive, negative = conditions(model)
    settings = {"strength": 1.0, "global_weight": 0.0, "start_percent": 0.0, "end_percent": 1.0}
    regional = add_region(positive, positive, None, False, **settings)
    with pytest.raises(ValueError, match="this conditioning has regional prompts"):
        sample(model, regional, negative)


@pytest.mark.parametrize("name", ["flag", "t2i"])
def test_a_line_of_patches_scales_by_area_and_has_no_rows(files, name):
    model = loading.load(files / f"{name}.safetensors")
    plain = sample(model)
    scaled, settings = scale_rope(model, "auto", train_size=112)
    assert (settings.method, settings.watershed, settings.proportional) == ("time_aware_watershed", 0.0, True)
    assert "as the released demo of Lumina-T2I does" in settings.why
    larger = start(size=(20, 24))
    assert not torch.allclose(sample(scaled, noise=larger), sample(model, noise=larger))
    assert torch.equal(sample(scaled), plain)  # 3 × 5 patches are within 7 × 7
    assert draw_readout(scaled, settings).shape == (1, 250, 360, 3)
    with pytest.raises(ValueError, match="no positions to scale per axis: turn per_axis off"):
        scale_rope(model, "auto", per_axis=True)
    with pytest.raises(
        ValueError, match="in one line, so it has no windows .* Context Drop could average: remove the node"
    ):
        drop_context(model, ContextDrop())
    model.model_options["transformer_options"]["rope_options"] = {"scale_x": 2.0}
    with pytest.raises(ValueError, match="in one line, row after row, .* remove the node"):
        sample(model)


def test_a_grid_of_patches_scales_and_drops_as_text_to_image_does(files):
    model = loading.load(files / "time.safetensors")
    plain = sample(model, noise=start(size=(20, 24)))
    scaled, settings = scale_rope(model, "auto", train_size=112)
    assert settings.method == "time_aware_late"
    assert not torch.allclose(sample(scaled, noise=start(size=(20, 24))), plain)
    assert not torch.allclose(sample(drop_context(model, ContextDrop()), noise=start(size=(20, 24))), plain)


@pytest.mark.parametrize(
    "name,module",
    [
        ("next", "y_embedder.embedding_table"),
        ("space", "layers.1.feed_forward.experts.2.w1"),
        ("t2i", "layers.0.attention.wv_y"),
    ],
)
@pytest.mark.parametrize("naming", ["diffusion_model.{}.lora_{}.weight", "base_model.model.{}.lora_{}.weight"])
def test_loras_change_what_they_name(files, tmp_path, name, module, naming):
    model = loading.load(files / f"{name}.safetensors")
    rows, columns = model.model.diffusion_model.get_submodule(module).weight.shape
    lora = {naming.format(module, "B"): torch.ones(rows, 2), naming.format(module, "A"): torch.ones(2, columns)}
    save_file(lora, tmp_path / "lora.safetensors")
    changed = apply(model, load_lora(model, str(tmp_path / "lora.safetensors")), 1.0)
    assert not torch.allclose(sample(changed), sample(model))


@pytest.mark.parametrize("name", ["next", "both", "t2i"])
def test_weights_in_8_bits_are_nearly_the_same_model(files, tmp_path, name):
    path = files / f"{name}.safetensors"
    model = loading.load(path)
    near = sample(loading.load(path, "fp8_e4m3fn"))
    assert (near - sample(model)).abs().mean() < 0.5 * near.abs().mean()
    weights, quantised = dict(untrained(name).state_dict()), {}
    for key, weight in weights.items():
        if key.startswith("layers.0.attention.w") and key.endswith(".weight"):
            scale = weight.abs().max() / 448
            quantised |= {key: (weight / scale).to(torch.float8_e4m3fn), key.replace("weight", "weight_scale"): scale}
            quantised[key.replace("weight", "comfy_quant")] = marker({"format": "float8_e4m3fn"})
    told = model.model.diffusion_model.family.about(model.model.diffusion_model.config)
    save_file(weights | quantised, tmp_path / "scaled.safetensors", metadata=told)
    torch.testing.assert_close(sample(loading.load(tmp_path / "scaled.safetensors")), sample(model), rtol=0.3, atol=0.3)


@torch.no_grad()
@pytest.mark.parametrize("name", NAMES)
def test_partial_offload_changes_nothing(files, name):
    whole, partial = (loading.load(files / f"{name}.safetensors") for _ in range(2))
    (text, _), _ = (given[0] for given in conditions(whole, "" if name == "imagenet" else "bee"))
    whole.load(torch.device("cpu"))
    partial.load(torch.device("cpu"), lowvram_model_memory=6_000)
    assert any(getattr(module, "comfy_cast_weights", False) for module in partial.model.modules())
    found = [each.model.apply_model(start(), torch.tensor([0.6]), c_crossattn=text) for each in (whole, partial)]
    torch.testing.assert_close(found[1], found[0])
