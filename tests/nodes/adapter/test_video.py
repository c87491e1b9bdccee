"""Video models in ComfyUI's own sampling: what reaches the network, with given frames, patches and stock nodes."""

import comfy.sample
import comfy.sd
import pytest
import torch
from comfy.patcher_extension import WrappersMP
from safetensors.torch import save_file

from lumina_next.nextdit import ContextDrop, RopeScaling, load_model, save_model
from lumina_next.nodes.adapter.lora import apply as lora
from lumina_next.nodes.adapter.models import loading
from lumina_next.nodes.adapter.models.video import decode_video, empty_video
from lumina_next.nodes.adapter.patches.context_drop import drop_context
from lumina_next.nodes.adapter.patches.scaled_rope import describe, scale_rope
from lumina_next.tests.support.patch_models import prompt, spied
from lumina_next.tests.support.untrained_video import CONFIG, untrained

FRAMES, SIZE = 4, (12, 16)


def text(length: int, seed: int = 0, rows: int = 1) -> list:
    return prompt(length, seed, CONFIG.text_dim, rows)


def clip(frames=FRAMES, batch=1, size=SIZE) -> torch.Tensor:
    return torch.rand(batch, 3, frames, *size, generator=torch.Generator().manual_seed(3)) * 2 - 1


def sample(patcher, latent=None, *, mask=None, cfg=3.0, steps=2, denoise=1.0, positive=None, sampler="euler"):
    latent = torch.zeros(1, 3, FRAMES, *SIZE) if latent is None else latent
    noise = comfy.sample.prepare_noise(latent, 7)
    return comfy.sample.sample(
        patcher,
        noise,
        steps,
        cfg,
        sampler,
        "simple",
        positive or text(6),
        text(2, 1),
        latent,
        denoise=denoise,
        noise_mask=mask,
        seed=7,
        disable_pbar=True,
    )


def frame_mask(*kept: int, frames=FRAMES) -> torch.Tensor:
    mask = torch.ones(1, 1, frames, *SIZE)
    mask[:, :, list(kept)] = 0
    return mask


@pytest.fixture(scope="module", params=[None, 0], ids=["added to two axes", "three parts"])
def file(request, tmp_path_factory):
    path = tmp_path_factory.mktemp("video") / "video.safetensors"
    save_model(untrained(frame_width=request.param), path, {"train_tokens": "8", "train_frames": "8"})
    return path


@pytest.fixture(scope="module")
def patcher(file):
    return loading.load(file)


def outputs_of(patcher, latent, **options):
    """Sample without guidance, and return latents, sigmas and what the model made of them, for every call."""
    outputs = []

    def look(executor, x, sigma, *args, **kwargs):
        out = executor(x, sigma, *args, **kwargs)
        outputs.append((x, sigma, out))
        return out

    clone = patcher.clone()
    clone.add_wrapper_with_key(WrappersMP.APPLY_MODEL, "test", look)
    sample(clone, latent, cfg=1.0, **options)
    return outputs


LONGER = RopeScaling("interpolation", 1.0, 8, frames=1.5, train_frames=8)
PATCHES = {
    "nothing": (lambda model: model, dict),
    "Scaled RoPE": (lambda model: scale_rope(model, "interpolation")[0], lambda: {"rope": LONGER}),
    "Context Drop": (
        lambda model: drop_context(model, ContextDrop(2, "linear")),
        lambda: {"drop": ContextDrop(2, "linear")},
    ),
}


@pytest.mark.parametrize("kept", [(), (0,), (0, 11)], ids=["none", "first", "ends"])
@pytest.mark.parametrize("name", PATCHES)
def test_denoised_is_nextdits_for_every_clip_of_a_batch(patcher, file, name, kept):
    patch, arguments = PATCHES[name]
    latent = clip(12, batch=2) if kept else torch.zeros(2, 3, 12, *SIZE)
    options = {"mask": frame_mask(*kept, frames=12), "denoise": 1.0} if kept else {}
    known = torch.zeros(12, dtype=torch.bool)
    known[list(kept)] = True
    network = load_model(file)
    outputs = outputs_of(patch(patcher), latent, positive=text(5, rows=2), **options)
    assert len(outputs) == 2
    for x, sigma, denoised in outputs:
        shown = torch.where(known[None, None, :, None, None], latent, x)
        with torch.no_grad():
            velocity = network(shown, 1 - sigma, text(5, rows=2)[0][0], given=known, **arguments())
        expected = x + sigma[0] * velocity
        torch.testing.assert_close(denoised[:, :, ~known], expected[:, :, ~known], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("sampler, kept", [("euler", (0,)), ("dpmpp_2m_sde", (0, 3)), ("uni_pc", (3,))])
def test_given_frames_come_out_as_they_went_in(patcher, kept, sampler):
    latent = clip()
    out = sample(patcher, latent, mask=frame_mask(*kept), sampler=sampler, steps=3)
    assert out.shape == latent.shape and torch.isfinite(out).all()
    last_noise = 5e-3 if sampler == "uni_pc" else 1e-5  # it stops short of sigma 0
    torch.testing.assert_close(out[:, :, list(kept)], latent[:, :, list(kept)], atol=last_noise, rtol=0)
    other = [i for i in range(FRAMES) if i not in kept]
    assert (out[:, :, other] - latent[:, :, other]).abs().max() > 0.05


def test_given_frames_change_the_others_and_reach_both_halves_of_the_guidance(patcher):
    seen = []
    look = spied(
        patcher, WrappersMP.DIFFUSION_MODEL, lambda executor, x, *args, **kwargs: seen.append((len(x), kwargs))
    )
    latent = clip()
    first = sample(look, latent, mask=frame_mask(0))
    assert [rows for rows, _ in seen] == [2, 2] and all(len(k["video_frames"]) == 2 for _, k in seen)
    latent[:, :, 0] = -latent[:, :, 0]
    assert (sample(patcher, latent, mask=frame_mask(0))[:, :, 1:] - first[:, :, 1:]).abs().max() > 1e-3


def test_a_mask_of_a_part_of_a_frame_gives_no_frame(patcher):
    seen = []
    look = spied(patcher, WrappersMP.DIFFUSION_MODEL, lambda executor, *args, **kwargs: seen.append(kwargs))
    mask = torch.ones(1, 1, FRAMES, *SIZE)
    mask[..., :8] = 0
    latent = clip()
    out = sample(look, latent, mask=mask)
    assert all("video_given" not in kwargs for kwargs in seen)
    torch.testing.assert_close(out[..., :8], latent[..., :8], atol=1e-5, rtol=0)


def test_masks_as_stock_nodes_leave_them(patcher, stock):
    kept = {"samples": clip()}
    (masked,) = stock.SetLatentNoiseMask().set_mask(kept, frame_mask(0, 3)[0, 0])  # (F, H, W)
    out = sample(patcher, masked["samples"], mask=masked["noise_mask"])
    torch.testing.assert_close(out[:, :, [0, 3]], kept["samples"][:, :, [0, 3]], atol=1e-5, rtol=0)


def test_denoise_below_1_keeps_what_is_there(patcher):
    latent = clip()
    near, far = (sample(patcher, latent, denoise=d, steps=4) for d in (0.05, 1.0))
    assert (near - latent).abs().mean() < 0.3 * (far - latent).abs().mean()


@pytest.mark.parametrize("frames", [1, 2, 9])
def test_any_number_of_frames_and_core_s_empty_latents(patcher, frames, stock):
    assert sample(patcher, torch.zeros(1, 3, frames, *SIZE)).shape == (1, 3, frames, *SIZE)
    latent = empty_video(frames, 32, 16, 2)
    (out,) = stock.KSampler().sample(patcher, 1, 1, 2.0, "euler", "simple", text(6), text(2), latent)
    assert out["samples"].shape == (2, 3, frames, 16, 32)
    pictures = {"samples": torch.zeros(2, 4, 2, 4), "downscale_ratio_spacial": 8}
    (out,) = stock.KSampler().sample(patcher, 1, 1, 2.0, "euler", "simple", text(6), text(2), pictures)
    assert out["samples"].shape == (2, 3, 1, 16, 32)  # each a clip of one frame


def test_saved_by_core_it_is_the_same_model(patcher, file, tmp_path):
    path = str(tmp_path / "saved.safetensors")
    comfy.sd.save_checkpoint(path, patcher)
    expected = sample(patcher)
    for again in (
        comfy.sd.load_diffusion_model(path),
        loading.load(path),
        comfy.sd.load_checkpoint_guess_config(path)[0],
        comfy.sd.load_diffusion_model(str(file)),
    ):
        network = again.model.diffusion_model
        assert (network.train_tokens, network.train_frames) == (8, 8)
        assert network.config == patcher.model.diffusion_model.config
        torch.testing.assert_close(sample(again), expected, atol=0, rtol=0)


def test_core_s_scale_rope_moves_frames_too(patcher, stock):
    from comfy_extras.nodes_rope import ScaleROPE

    def scaled(**given):
        plain = {f"{kind}_{axis}": float(kind == "scale") for kind in ("scale", "shift") for axis in "xyt"}
        return ScaleROPE.execute(patcher, **(plain | given)).result[0]

    base = sample(patcher)
    torch.testing.assert_close(sample(scaled()), base, atol=1e-5, rtol=0)
    assert (sample(scaled(scale_t=0.5)) - base).abs().max() > 1e-3


def test_scaled_rope_says_what_it_does_with_longer_clips(patcher):
    _, settings = scale_rope(patcher, "interpolation")
    assert settings.at((8, 8), 8) is None and settings.at((3, 4), 12) == LONGER
    assert describe(settings, (8, 8), 4, 12) == "12 frames are 1.5 times the native 8: interpolation"
    told = describe(settings, (16, 16), 4, 16)
    assert told == "16 frames are 2 times the native 8, 64 × 64 is past the native size too: interpolation"
    both = settings.at((16, 16), 16)
    assert (both.factor, both.frames, both.train_frames) == (2.0, 2.0, 8)
    assert "nothing changes" in describe(settings, (8, 8), 4, 8)


def test_what_cannot_be_sampled_is_said(patcher):
    with pytest.raises(ValueError, match="the noise mask keeps every frame of the clip"):
        sample(patcher, clip(), mask=frame_mask(0, 1, 2, 3))
    with pytest.raises(ValueError, match="has 4 channels, but this Next-DiT takes 3"):
        sample(patcher, torch.ones(1, 4, FRAMES, *SIZE))


@pytest.mark.parametrize("kept", [(), (0, 11)], ids=["text", "first and last frame given"])
def test_core_s_context_windows_make_long_clips_of_short_ones(patcher, kept):
    windows = pytest.importorskip("comfy_extras.nodes_context_windows").ContextWindowsManualNode
    defaults = {i.id: i.default for i in windows.define_schema().inputs if i.id != "model"}
    chosen = {"context_length": 6, "context_overlap": 2, "context_schedule": "standard_static", "dim": 2}
    (windowed,) = windows.execute(patcher, **(defaults | chosen)).result
    seen = []
    look = spied(windowed, WrappersMP.DIFFUSION_MODEL, lambda executor, x, *a, **kwargs: seen.append((x, kwargs)))
    latent = clip(12) if kept else torch.zeros(1, 3, 12, *SIZE)
    out = sample(look, latent, mask=frame_mask(*kept, frames=12) if kept else None)
    assert out.shape == latent.shape and torch.isfinite(out).all()
    assert {x.shape[2] for x, _ in seen} <= {6, 7} and len(seen) > 4  # 7: with a frame of the window before
    if kept:
        torch.testing.assert_close(out[:, :, list(kept)], latent[:, :, list(kept)], atol=1e-5, rtol=0)
        assert all(kwargs["video_given"].shape[2] == x.shape[2] for x, kwargs in seen)
        assert {int(kwargs["video_given"].sum()) // len(x) for x, kwargs in seen} >= {0, 1}


def test_an_empty_clip_far_too_large_is_drawn_as_trained(patcher, stock):
    latent = empty_video(2, 512, 256, 1)
    (out,) = stock.KSampler().sample(patcher, 1, 1, 1.0, "euler", "simple", text(6), text(2), latent)
    assert out["samples"].shape == (1, 3, 2, 24, 44)


def test_a_lora_of_the_text_to_image_model_fits(patcher, tmp_path):
    names = {"layers.0.attention.wq": (48, 48), "frame_embedder.mlp.2": (48, 48)}
    weights = {
        f"{name}.lora_{side}.weight": torch.full((out, 2) if side == "B" else (2, inner), 0.2)
        for name, (out, inner) in names.items()
        for side in "AB"
    }
    save_file(weights, tmp_path / "lora.safetensors")
    base, converted = sample(patcher), lora.load(patcher, str(tmp_path / "lora.safetensors"))
    assert not converted.unmatched
    assert not torch.allclose(sample(lora.apply(patcher, converted, 1.0)), base, atol=1e-3)


def test_the_loader_says_sizes_frames_and_vae(patcher):
    assert loading.describe(patcher) == "Next-DiT, video, trained at 32 × 32, 8 frames; VAE: pixel_space"


def test_a_vae_of_other_channels_is_refused():
    from comfy.sd import VAE

    pixels = VAE(sd={"pixel_space_vae": torch.tensor(1.0)})
    with pytest.raises(ValueError, match="the latent has 16 channels, but this VAE decodes 3"):
        decode_video({"samples": torch.zeros(1, 16, 2, 8, 8)}, pixels)
    assert decode_video({"samples": torch.zeros(1, 3, 2, 8, 8)}, pixels).shape == (2, 8, 8, 3)
