"""Flow Schedule and the stock dropdowns, in a real ComfyUI's modules."""

import comfy.model_sampling
import comfy.samplers
import folder_paths
import pytest
import torch
from comfy_api.latest import io
from PIL import Image

from lumina_next.nodes.adapter.host import inputs
from lumina_next.nodes.adapter.sampling.schedules import register_schedulers
from lumina_next.nodes.drawing import curve
from lumina_next.nodes.sampling.flow_schedule import PARAMETERS, FlowSchedule
from lumina_next.samplers import SCHEDULES, times


class Flow(comfy.model_sampling.ModelSamplingDiscreteFlow, comfy.model_sampling.CONST):
    pass


class Diffusion(comfy.model_sampling.ModelSamplingDiscrete, comfy.model_sampling.EPS):
    pass


class Patcher:
    """The part of a MODEL that schedulers look at."""

    def __init__(self, model_sampling):
        self.model_sampling = model_sampling

    def get_model_object(self, name):
        return getattr(self, name)


@pytest.fixture(autouse=True)
def host(tmp_path, monkeypatch):
    """Register the schedulers, and keep previews out of ComfyUI's own folder."""
    register_schedulers()
    monkeypatch.setattr(folder_paths, "temp_directory", str(tmp_path))


def run(schedule, steps=12, denoise=1.0, **parameters):
    return FlowSchedule.execute({"schedule": schedule, **parameters}, steps, denoise)


@pytest.mark.parametrize(
    ("schedule", "parameters"),
    [("uniform", {}), ("rational", {"alpha": 6.0}), ("sigmoid", {"mu": 0.5, "sigma1": 0.2, "sigma2": 0.1})],
)
def test_sigmas_are_one_minus_times(schedule, parameters):
    output = run(schedule, **parameters)
    sigmas = output.args[0]
    assert sigmas.dtype == torch.float32 and sigmas.device.type == "cpu"
    assert torch.equal(sigmas, 1 - times(schedule, 12, **parameters))
    assert sigmas[0] == 1.0 and sigmas[-1] == 0.0 and (sigmas.diff() < 0).all()


def test_denoise_is_that_of_basic_scheduler():
    from comfy_extras.nodes_custom_sampler import BasicScheduler

    for schedule in SCHEDULES:
        for denoise in (0.0, 0.01, 0.29, 0.6, 1.0):
            stock = BasicScheduler.execute(Patcher(Flow()), f"lumina_{schedule}", 12, denoise).args[0]
            defaults = {p.name: p.default for p in SCHEDULES[schedule].parameters}
            assert torch.equal(run(schedule, denoise=denoise, **defaults).args[0], stock)


def test_the_curve_is_shown_on_the_node(tmp_path):
    (shown,) = run("rational", alpha=4.0).ui.as_dict()["images"]
    with Image.open(tmp_path / shown["filename"]) as image:
        assert image.size == (curve.WIDTH, curve.HEIGHT)


@pytest.mark.parametrize("count", [0, 1, 2, 13, 301])
def test_the_drawing_has_a_dot_at_every_step(count):
    sigmas = torch.linspace(1, 0, count)
    picture = curve.draw_sigmas(sigmas, "uniform")
    assert picture.shape == (1, curve.HEIGHT, curve.WIDTH, 3)
    assert 0 <= picture.min() and picture.max() <= 1
    for i, sigma in enumerate(sigmas):
        x, y = (round(v / curve.SMOOTH) for v in curve._at(i / max(count - 1, 1), float(sigma)))
        red, _, blue = picture[0, y, x]
        assert red > 0.8 and blue < 0.6, f"step {i}"


def test_the_dropdowns_get_every_schedule_once():
    before = list(comfy.samplers.SCHEDULER_NAMES)
    register_schedulers()
    assert comfy.samplers.SCHEDULER_NAMES == before == comfy.samplers.KSampler.SCHEDULERS
    for name in ("lumina_uniform", "lumina_rational", "lumina_sigmoid"):
        assert before.count(name) == 1


@pytest.mark.parametrize("sampler", ["euler", "dpm_2"])
@pytest.mark.parametrize("denoise", [1.0, 0.4])
def test_ksamplers_denoise_works_with_them(sampler, denoise):
    ksampler = comfy.samplers.KSampler(Patcher(Flow()), 8, "cpu", sampler, "lumina_rational", denoise)
    assert len(ksampler.sigmas) == 9 and ksampler.sigmas[-1] == 0 and (ksampler.sigmas.diff() < 0).all()
    assert (ksampler.sigmas[0] == 1.0) == (denoise == 1.0)


def test_dropdown_entries_refuse_models_that_are_no_flows():
    message = "lumina_sigmoid is for flow models.*this model's starts at 14.61.*stock sampler and scheduler"
    with pytest.raises(ValueError, match=message):
        comfy.samplers.KSampler(Patcher(Diffusion()), 8, "cpu", "euler", "lumina_sigmoid", 1.0)


def test_bad_input():
    with pytest.raises(ValueError, match="alpha must be a finite number above 0, got -1"):
        run("rational", alpha=-1.0)
    with pytest.raises(ValueError, match="steps must be a whole number of at least 1, got 0"):
        run("uniform", steps=0)
    with pytest.raises(ValueError, match="denoise must be between 0"):
        run("uniform", denoise=1.5)
    with pytest.raises(ValueError, match="closer together than float32 can tell apart"):
        run("sigmoid", steps=200, mu=0.5, sigma1=0.01, sigma2=0.01)


def test_parameters_are_only_shown_with_their_schedule():
    (schedule,) = [i for i in FlowSchedule.define_schema().inputs if i.id == "schedule"]
    assert isinstance(schedule, io.DynamicCombo.Input)
    shown = {option.key: [i.id for i in option.inputs] for option in schedule.options}
    assert shown == {"rational": ["alpha"], "sigmoid": ["mu", "sigma1", "sigma2"], "uniform": []} == PARAMETERS
    assert all(i.tooltip for option in schedule.options for i in option.inputs)


def test_releases_without_dynamic_combos_take_the_same_api_keys(monkeypatch):
    monkeypatch.delattr(io, "DynamicCombo")
    schema = FlowSchedule.define_schema()
    ids = [i.id for i in schema.inputs]
    dotted = ["schedule.alpha", "schedule.mu", "schedule.sigma1", "schedule.sigma2"]
    assert ids == ["schedule", *dotted, "steps", "denoise"]
    assert [i.id for i in schema.inputs if i.optional] == dotted
    flat = {"schedule.alpha": 6.0, "schedule.mu": 0.5, "schedule.sigma1": 0.2, "schedule.sigma2": 0.1}
    output = FlowSchedule.execute(schedule="rational", steps=9, denoise=1.0, **flat)
    assert torch.equal(output.args[0], 1 - times("rational", 9, alpha=6.0))
    assert inputs.chosen("schedule", "uniform", flat, PARAMETERS) == ("uniform", {})
    assert inputs.chosen("schedule", "rational", {}, PARAMETERS) == ("rational", {})
