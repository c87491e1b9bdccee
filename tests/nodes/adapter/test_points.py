"""Models of points in ComfyUI: loaded, saved, sampled as the pipeline does, and what a run with them refuses."""

from dataclasses import replace

import comfy.sample
import comfy.sd
import latent_preview
import pytest
import torch
from comfy.cli_args import LatentPreviewMethod, args

from lumina_next.nextdit import save_model
from lumina_next.nextdit.clouds.noise import grained, paired
from lumina_next.nodes.adapter.models import loading, points
from lumina_next.pipelines.points import sample_points
from lumina_next.pipelines.sampling import Sampling
from lumina_next.tests.support.untrained_points import LABELS, TEXT_DIM, untrained

STEPS = 3


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    path = tmp_path_factory.mktemp("points") / "points.safetensors"
    save_model(untrained(), path)
    return path


@pytest.fixture(scope="module")
def patcher(file):
    return loading.load(file)


def sample(model, latent: dict, label: str = "chair", cfg: float = 2.0, denoise: float = 1.0) -> torch.Tensor:
    samples = comfy.sample.fix_empty_latent_channels(model, latent["samples"])
    noise = torch.randn(samples.shape, generator=torch.Generator().manual_seed(0))
    positive, negative = points.label_conditioning(model, label)
    return comfy.sample.sample(
        model,
        noise,
        STEPS,
        cfg,
        "euler",
        "simple",
        positive,
        negative,
        samples,
        denoise=denoise,
        sigmas=torch.linspace(1, 0, STEPS + 1),  # the pipeline's: those of simple differ in the third digit
        noise_mask=latent.get("noise_mask"),
        seed=0,
        disable_pbar=True,
    )


@pytest.mark.parametrize("method", LatentPreviewMethod)
def test_core_draws_no_picture_of_coordinates(patcher, monkeypatch, method):
    """As pixels they would be one row, which core shrinks to none and then ends."""
    monkeypatch.setattr(args, "preview_method", method)
    assert isinstance(patcher.model.latent_format, points.Clouds)
    assert latent_preview.get_previewer(patcher.load_device, patcher.model.latent_format) is None


@pytest.mark.parametrize("proportional", (False, True))
def test_ksampler_follows_the_flow_that_the_pipeline_follows(patcher, proportional):
    model = points.with_proportional_attention(patcher) if proportional else patcher
    latent = points.empty_points(40, 2)
    noise = grained(torch.randn(2, 3, 40, generator=torch.Generator().manual_seed(0)), 16)
    label = torch.eye(3)[1].view(1, 1, 3)
    expected = sample_points(
        untrained(),
        noise,
        label,
        None,
        Sampling(STEPS, "uniform", cfg=2.0),
        none=(torch.zeros(1, 1, 3), None),
        proportional=proportional,
    )
    torch.testing.assert_close(sample(model, latent), expected, rtol=1e-3, atol=2e-3)


def test_saved_by_core_it_is_the_same_model(patcher, tmp_path):
    path = str(tmp_path / "saved.safetensors")
    comfy.sd.save_checkpoint(path, patcher)
    expected = sample(patcher, points.empty_points(20, 1))
    for again in (comfy.sd.load_diffusion_model(path), loading.load(path)):
        assert again.model.diffusion_model.config == patcher.model.diffusion_model.config
        assert again.model.diffusion_model.config.labels == LABELS
        torch.testing.assert_close(sample(again, points.empty_points(20, 1)), expected, atol=0, rtol=0)


def test_labels_are_read_where_a_releases_loader_hands_on_no_metadata(file, monkeypatch):
    load = comfy.sd.load_diffusion_model_state_dict
    monkeypatch.setattr(comfy.sd, "load_diffusion_model_state_dict", lambda *a, metadata=None, **k: load(*a, **k))
    assert loading.load(file).model.diffusion_model.config.labels == LABELS


def test_points_that_are_given_stay_and_the_others_go_on(patcher):
    cloud = torch.rand(1, 3, 10, generator=torch.Generator().manual_seed(1))
    latent = points.completed({"samples": cloud, "points_frame": "kept"}, 25)
    assert (
        latent["samples"].shape == (1, 3, 25) and latent["noise_mask"].sum() == 15 and latent["points_frame"] == "kept"
    )
    out = sample(patcher, latent)
    torch.testing.assert_close(out[:, :, :10], cloud)
    assert (out[:, :, 10:] - latent["samples"][:, :, 10:]).abs().mean() > 0.05
    assert "noise_mask" not in points.thinned(latent, 5)


def test_a_model_trained_with_pairs_pairs_noise_and_cloud(tmp_path):
    network = untrained()
    network.config = replace(network.config, paired=True)
    save_model(network, tmp_path / "points.safetensors")
    model = loading.load(tmp_path / "points.safetensors")
    assert model.model.diffusion_model.config.paired
    scaled = model.get_model_object("model_sampling").noise_scaling
    cloud, noise, sigma = torch.rand(1, 3, 12), torch.randn(2, 3, 12), torch.tensor(0.5)
    torch.testing.assert_close(scaled(sigma, noise, cloud), (paired(noise, cloud.expand_as(noise)) + cloud) / 2)
    torch.testing.assert_close(
        scaled(sigma, noise, torch.zeros_like(cloud)), noise / 2
    )  # fewer points than in training
    given = points.completed({"samples": cloud}, 25)
    torch.testing.assert_close(sample(model, given)[:, :, :12], cloud)
    plain = loading.load(save_model(untrained(), tmp_path / "plain.safetensors") or tmp_path / "plain.safetensors")
    torch.testing.assert_close(
        plain.get_model_object("model_sampling").noise_scaling(sigma, noise, cloud), (noise + cloud) / 2
    )


def test_conditioning_without_a_label_is_that_which_steers_away(patcher):
    """So stock nodes do what they say: Conditioning Zero Out takes the label off, Average mixes two."""
    (positive, _), (negative, _) = (conditioning[0] for conditioning in points.label_conditioning(patcher, "table"))
    assert torch.equal(torch.zeros_like(positive), negative)
    mixed = torch.lerp(positive, points.label_conditioning(patcher, 0)[0][0][0], 0.25)
    assert mixed.flatten().tolist() == [0.25, 0, 0.75]


def test_wrong_input_is_an_error_that_helps(patcher, tmp_path):
    with pytest.raises(ValueError, match="expected a latent of points"):
        points.clouds_of({"samples": torch.zeros(1, 4, 8, 8)})
    for none in ((0, 3, 9), (1, 3, 0)):
        with pytest.raises(ValueError, match="has no points"):
            points.clouds_of({"samples": torch.zeros(none)})
    with pytest.raises(ValueError, match="2 of the 18 points are NaN or infinite: sample them again"):
        points.clouds_of({"samples": torch.zeros(2, 3, 9).index_fill(2, torch.tensor([4]), float("nan"))})
    with pytest.raises(ValueError, match=r"takes point clouds, \(batch, 3, points\)"):
        sample(patcher, {"samples": torch.zeros(1, 4, 8, 8)})
    with pytest.raises(
        ValueError, match="from a label, not from text.*: connect Point Label to the sampler, in place of CLIP"
    ):
        patcher.model.extra_conds(noise=torch.zeros(1, 3, 9), device="cpu", cross_attn=torch.zeros(1, 4, TEXT_DIM))
    two = {"samples": torch.rand(2, 3, 9)}
    with pytest.raises(ValueError, match="Cut Points takes one cloud, got 2"):
        points.cut(two, 0, -1, 1)
    with pytest.raises(ValueError, match="no point lies from 5 to 6; along this axis the cloud goes from 0"):
        points.cut({"samples": torch.rand(1, 3, 9)}, 0, 5, 6)
    model = patcher.clone()
    model.model_options["transformer_options"]["rope_options"] = {"scale_x": 2.0}
    with pytest.raises(ValueError, match="points have no positions .* remove the node"):
        sample(model, points.empty_points(9, 1))
    save_model(untrained(labels=False), tmp_path / "text.safetensors")
    with pytest.raises(ValueError, match="from text, not from a label"):
        points.label_conditioning(loading.load(tmp_path / "text.safetensors"), "chair")
