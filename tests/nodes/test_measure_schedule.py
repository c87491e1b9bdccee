"""Measured Schedule on native and core-like flow models, against the pure measurement on the bare network."""

import comfy.model_sampling
import comfy.samplers
import folder_paths
import pytest
import torch
from comfy_extras.nodes_custom_sampler import Noise_RandomNoise

from lumina_next.nextdit import NextDiT, NextDiTConfig, load_model, save_model
from lumina_next.nodes.adapter import loading, measured_curve, measuring
from lumina_next.nodes.measure_schedule import MeasureSchedule
from lumina_next.samplers import guide, integrate, measured_times, probe, probe_times

CFG = 3.0
POSITIVE = torch.randn(1, 6, 24, generator=torch.Generator().manual_seed(1))
NEGATIVE = torch.randn(1, 2, 24, generator=torch.Generator().manual_seed(2))


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    torch.manual_seed(0)
    model = NextDiT(NextDiTConfig(dim=64, n_layers=2, n_heads=4, n_kv_heads=2, text_dim=24, ffn_dim=96))
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.12)
    path = tmp_path_factory.mktemp("model") / "tiny.safetensors"
    save_model(model, path)
    return path


@pytest.fixture(scope="module")
def patcher(file):
    return loading.load(file)


@pytest.fixture(autouse=True)
def previews(tmp_path, monkeypatch):
    monkeypatch.setattr(folder_paths, "temp_directory", str(tmp_path))


def guider(patcher):
    made = comfy.samplers.CFGGuider(patcher)
    made.set_conds([[POSITIVE, {}]], [[NEGATIVE, {}]])
    made.set_cfg(CFG)
    return made


def latent(batch=1):
    return {"samples": torch.zeros(batch, 4, 8, 10)}


def run(patcher, latent_image=None, method="midpoint", steps=5, denoise=1.0, probe_steps=6, samples=1, seed=3):
    noise = Noise_RandomNoise(seed)
    return MeasureSchedule.execute(
        noise, guider(patcher), latent_image or latent(), method, steps, denoise, probe_steps, samples
    )


@pytest.mark.parametrize("method", ["euler", "midpoint", "rk4"])
def test_equal_to_the_pure_measurement(file, patcher, method):
    network = load_model(file)

    @torch.no_grad()
    def velocity(x, t):
        cond, uncond = (network(x, t.float().expand(x.shape[0]), text) for text in (POSITIVE, NEGATIVE))
        return guide(cond, uncond, CFG)

    sigmas, text = run(patcher, method=method).args
    x = Noise_RandomNoise(3).generate_noise(latent())
    path, end = probe(velocity, x, probe_times(6))
    expected = measured_times(path, end, lambda grid: integrate(velocity, x, grid, method), 5, method)
    torch.testing.assert_close(sigmas, 1 - expected, atol=0.03, rtol=0)
    assert sigmas[0] == 1.0 and sigmas[-1] == 0.0 and (sigmas.diff() < 0).all()
    read = torch.tensor([float(s) for s in text.split(", ")])
    torch.testing.assert_close(read, sigmas, atol=1e-6, rtol=0)
    assert "e" not in text and read[-1] == 0.0


def test_image_to_image_starts_at_denoise(patcher):
    start = {"samples": torch.randn(1, 4, 8, 10)}
    sigmas, _ = run(patcher, start, denoise=0.6).args
    assert sigmas[0] == pytest.approx(0.6) and sigmas[-1] == 0.0 and len(sigmas) == 6


def test_cost_progress_and_samples(patcher, monkeypatch):
    calls, shown = [], []
    watched = patcher.clone()

    def watch(executor, x, *args, **kwargs):
        calls.append(x.shape)
        return executor(x, *args, **kwargs)

    monkeypatch.setattr("comfy.utils.ProgressBar.update_absolute", lambda self, value, *rest: shown.append(value))
    watched.add_wrapper_with_key(comfy.patcher_extension.WrappersMP.APPLY_MODEL, "test", watch)
    one = run(watched, latent(batch=2)).args[0]
    assert shown == [2, 4, 6, 8, 10, 12]
    rows = sum(shape[0] for shape in calls)
    assert rows == 2 * 12  # positive and negative, of the first latent only
    calls.clear()
    run(watched, method="euler", steps=4)
    assert sum(shape[0] for shape in calls) == 2 * (12 + 5 * 4)
    path = measuring.Measurement(Noise_RandomNoise(3), guider(watched), latent(), 6, 3, 1.0).path
    assert path.x.shape[1] == 3 and not torch.equal(path.x[:, 0], path.x[:, 1])
    assert torch.equal(one, run(patcher).args[0])


def test_the_drawing_shows_what_was_measured(patcher):
    flow = measuring.Measurement(Noise_RandomNoise(3), guider(patcher), latent(), 6, 1, 1.0)
    path, sigmas = flow.path, flow.sigmas(5, "euler")
    picture = measured_curve.draw_measured(path, sigmas, "title")
    assert picture.shape == (1, measured_curve.HEIGHT, measured_curve.WIDTH, 3)
    assert not torch.equal(picture, measured_curve.draw_measured(path, sigmas[:2], "title"))
    times, errors = measured_curve.local_errors(path)
    assert times[0] == 0.0 and times[-1] <= 0.95 and (errors > 0).all()
    assert len(run(patcher).ui.as_dict()["images"]) == 1


def test_models_that_are_no_flows(patcher):
    class Diffusion(comfy.model_sampling.ModelSamplingDiscrete, comfy.model_sampling.EPS):
        pass

    diffusion = patcher.clone()
    diffusion.add_object_patch("model_sampling", Diffusion())
    with pytest.raises(ValueError, match="Measured Schedule is for flow models.*Use a stock sampler and scheduler"):
        run(diffusion)


def test_a_model_that_returns_nan_is_named(patcher):
    broken = patcher.clone()
    broken.set_model_sampler_post_cfg_function(lambda args: args["denoised"] * torch.nan)
    with pytest.raises(ValueError, match="not finite: the model returned NaN"):
        run(broken)
