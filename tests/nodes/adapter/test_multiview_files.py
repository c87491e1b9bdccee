"""Multi-view checkpoints in ComfyUI: loaded, saved, offloaded, and what a run with them refuses."""

import comfy.sd
import pytest
import torch

from lumina_next.nextdit import load_model, save_model
from lumina_next.nodes.adapter.models import loading
from lumina_next.nodes.adapter.models.views import with_views
from lumina_next.tests.support import patch_models
from lumina_next.tests.support.multiview_runs import AZIMUTHS, SIZE, picture, sample, text
from lumina_next.tests.support.patch_models import load_own, prompt
from lumina_next.tests.support.untrained_multiview import untrained


@pytest.fixture(scope="module", params=[2, 3], ids=["2 axes", "3 axes"])
def file(request, tmp_path_factory):
    path = tmp_path_factory.mktemp("multiview") / "views.safetensors"
    save_model(untrained(rope_axes=request.param), path, {"train_tokens": "16"})
    return path


@pytest.fixture(scope="module")
def patcher(file):
    return loading.load(file)


def test_saved_by_core_it_is_the_same_model(patcher, tmp_path):
    path = str(tmp_path / "saved.safetensors")
    comfy.sd.save_checkpoint(path, patcher)
    expected = sample(patcher)
    axes = patcher.model.diffusion_model.config.rope_axes
    for again in (
        comfy.sd.load_diffusion_model(path),
        loading.load(path),
        comfy.sd.load_checkpoint_guess_config(path)[0],
    ):
        assert again.model.diffusion_model.config.rope_axes == axes
        torch.testing.assert_close(sample(again), expected, atol=0, rtol=0)


def test_cores_loader_reads_the_file_as_ours_does(patcher, file):
    stock = comfy.sd.load_diffusion_model(str(file))
    assert stock.model.diffusion_model.train_tokens == patcher.model.diffusion_model.train_tokens == 16
    torch.testing.assert_close(sample(stock), sample(patcher), atol=0, rtol=0)


def test_axes_are_read_where_a_releases_loader_hands_on_no_metadata(file, monkeypatch):
    load = comfy.sd.load_diffusion_model_state_dict
    without = lambda *args, metadata=None, **kwargs: load(*args, **kwargs)  # noqa: E731
    monkeypatch.setattr(comfy.sd, "load_diffusion_model_state_dict", without)
    loaded = loading.load(file)
    axes = load_model(file).config.rope_axes
    assert (loaded.model.diffusion_model.config.rope_axes, loaded.model.model_config.unet_config["rope_axes"]) == (
        axes,
        axes,
    )


def test_partial_offload_changes_nothing(file):
    whole, partial = loading.load(file), loading.load(file)
    whole.load(torch.device("cpu"), full_load=True)
    partial.load(torch.device("cpu"), lowvram_model_memory=10_000)
    left = [name for name, m in partial.model.named_modules() if getattr(m, "comfy_cast_weights", False)]
    assert any("azimuth_embedder" in name for name in left)
    x, sigma = torch.randn(3, 3, *SIZE), torch.full((3,), 0.6)
    conds = {"c_crossattn": text(4)[0][0], "multiview_azimuths": AZIMUTHS, "multiview_image": picture()}
    with torch.no_grad():
        torch.testing.assert_close(
            partial.model.apply_model(x, sigma, **conds), whole.model.apply_model(x, sigma, **conds)
        )


REFUSED = {
    "a conditioning that it got has no azimuths: put Multi-View Conditioning between": {"negative": text(2)},
    "batch of 4, but the conditioning has 3 azimuths, .* or a batch of 3, 6, …": {"batch": 4},
    "image's latent is 8×6 .* but the views' are 16×12: set width and height": {
        "positive": with_views(text(6), AZIMUTHS, picture(size=(6, 8)))
    },
    "image's latent has 4 channels, but this model takes 3: connect the VAE": {
        "positive": with_views(text(6), AZIMUTHS, picture(channels=4))
    },
    "latent has 4 channels, but this Next-DiT takes 3": {"channels": 4},
    "needs text conditioning": {"positive": with_views([[None, {}]], AZIMUTHS)},
}


@pytest.mark.parametrize("says", REFUSED)
def test_refused_in_a_sentence(patcher, says):
    inputs = dict(REFUSED[says])
    if inputs.get("channels"):
        latent = torch.ones(3, 4, *SIZE)
        with pytest.raises(ValueError, match=says):
            patcher.model.process_latent_in(latent)
        return
    with pytest.raises(ValueError, match=says):
        sample(patcher, **inputs)


def test_regions_are_refused(patcher):
    from lumina_next.nodes.adapter.patches.regions import add_region

    settings = {"strength": 1.0, "global_weight": 0.0, "start_percent": 0.0, "end_percent": 1.0}
    positive = with_views(add_region(text(6), text(3), None, False, **settings), AZIMUTHS)
    with pytest.raises(ValueError, match="Regional Prompt is for single pictures"):
        sample(patcher, positive)


def test_a_model_of_another_kind_says_so():
    with pytest.raises(ValueError, match="for several views, which only multi-view Lumina-Next models make"):
        patch_models.sample(load_own(), positive=with_views(prompt(6), AZIMUTHS), batch=3)
