"""Flow Sampler and Channel Guidance on a native MODEL, against the pure solver on the bare network."""

import comfy.model_management
import comfy.model_sampling
import comfy.sample
import comfy.samplers
import pytest
import torch

from lumina_next.nextdit import NextDiT, NextDiTConfig, load_model, save_model
from lumina_next.nodes.adapter.models import loading
from lumina_next.nodes.adapter.sampling.schedules import schedule_sigmas
from lumina_next.nodes.adapter.sampling.solvers import LAST_SIGMA
from lumina_next.nodes.sampling.channel_guidance import ChannelGuidance
from lumina_next.nodes.sampling.flow_sampler import FlowSampler
from lumina_next.samplers import METHODS, guide, integrate, times

STEPS, CFG = 6, 4.0
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


@pytest.fixture(scope="module")
def network(file):
    return load_model(file)


@pytest.fixture
def noise():
    return torch.randn(2, 4, 8, 10, generator=torch.Generator().manual_seed(3))


def sample(patcher, noise, method="midpoint", sigmas=None, latent=None, cfg=CFG, **kwargs):
    sigmas = schedule_sigmas("rational", STEPS) if sigmas is None else sigmas
    latent = torch.zeros_like(noise) if latent is None else latent
    (sampler,) = FlowSampler.execute(method).args
    return comfy.sample.sample_custom(
        patcher, noise, cfg, sampler, sigmas, [[POSITIVE, {}]], [[NEGATIVE, {}]], latent, disable_pbar=True, **kwargs
    )


def pure(network, patcher, x, grid, method="midpoint", cfg=CFG, channels=None):
    """Return what the bare network and the pure solver make of x, as a latent."""

    @torch.no_grad()
    def velocity(x, t):
        t = t.float().expand(x.shape[0])
        cond, uncond = (network(x, t, text.expand(x.shape[0], -1, -1)) for text in (POSITIVE, NEGATIVE))
        return guide(cond, uncond, cfg, channels)

    return patcher.model.latent_format.process_out(integrate(velocity, x, grid, method))


def assert_close(a, b, tolerance):
    assert ((a - b).abs().max() / b.abs().max()).item() < tolerance


@pytest.mark.parametrize(("method", "tolerance"), [("euler", 1e-5), ("midpoint", 1e-5), ("heun", 3e-4), ("rk4", 1e-4)])
@pytest.mark.parametrize("schedule", ["uniform", "rational", "sigmoid"])
def test_equal_to_the_pure_solver(patcher, network, noise, method, tolerance, schedule):
    out = sample(patcher, noise, method, schedule_sigmas(schedule, STEPS))
    assert_close(out, pure(network, patcher, noise, times(schedule, STEPS), method), tolerance)


def test_euler_is_stock_euler(patcher, noise):
    sigmas = schedule_sigmas("sigmoid", STEPS)
    stock = comfy.samplers.sampler_object("euler")
    conds = [[POSITIVE, {}]], [[NEGATIVE, {}]]
    expected = comfy.sample.sample_custom(
        patcher, noise, CFG, stock, sigmas, *conds, torch.zeros_like(noise), disable_pbar=True
    )
    assert_close(sample(patcher, noise, "euler", sigmas), expected, 1e-5)


@pytest.mark.parametrize("method", ["heun", "rk4"])
def test_stages_at_the_end_cost_less_than_the_solvers_own_error(network, patcher, noise, method):
    # A model gives no velocity at sigma 0; what is done instead must not be what limits the method.
    grid = times("rational", 16)
    truth = pure(network, patcher, noise.double().float(), times("rational", 128), "rk4", cfg=1.0)
    ours = sample(patcher, noise, method, schedule_sigmas("rational", 16), cfg=1.0)
    ideal = pure(network, patcher, noise, grid, method, cfg=1.0)
    assert (ours - ideal).norm() < 0.1 * (ideal - truth).norm() + 1e-5 * truth.norm()


def test_image_to_image_starts_between_noise_and_latent(patcher, network, noise):
    sigmas = schedule_sigmas("rational", STEPS, denoise=0.5)
    latent = torch.randn(2, 4, 8, 10)
    inside = patcher.model.latent_format.process_in(latent)
    x = sigmas[0] * noise + (1 - sigmas[0]) * inside
    assert_close(sample(patcher, noise, sigmas=sigmas, latent=latent), pure(network, patcher, x, 1 - sigmas), 1e-5)


def test_a_split_run_equals_a_whole_one(patcher, noise):
    sigmas = schedule_sigmas("rational", STEPS)
    half = sample(patcher, noise, sigmas=sigmas[:4])
    out = sample(patcher, torch.zeros_like(noise), sigmas=sigmas[3:], latent=half)
    assert_close(out, sample(patcher, noise, sigmas=sigmas), 1e-4)


@pytest.mark.parametrize("method", METHODS)
def test_inpainting_keeps_what_is_masked_out(patcher, noise, method):
    latent, mask = torch.randn(2, 4, 8, 10), torch.zeros(2, 1, 8, 10)
    mask[..., :5] = 1
    out = sample(patcher, noise, method, latent=latent, noise_mask=mask)
    torch.testing.assert_close(out[..., 5:], latent[..., 5:], atol=1e-3, rtol=1e-3)
    assert (out[..., :5] - latent[..., :5]).abs().min(dim=-1).values.max() > 1e-2


def test_a_latent_without_pictures_is_refused(patcher, noise):
    with pytest.raises(ValueError, match="the latent is empty, .*: its batch is 0"):
        sample(patcher, noise[:0])


def test_empty_and_single_sigmas_leave_the_latent(patcher, noise):
    latent = torch.randn(2, 4, 8, 10)
    assert torch.equal(sample(patcher, noise, sigmas=torch.tensor([]), latent=latent), latent)
    single = sample(patcher, torch.zeros_like(noise), sigmas=torch.tensor([0.0]), latent=latent)
    torch.testing.assert_close(single, latent)


@pytest.mark.parametrize("method", METHODS)
def test_progress_and_previews_once_a_step(patcher, noise, method):
    seen = []
    out = sample(patcher, noise, method, callback=lambda *step: seen.append(step))
    assert [(step, total) for step, _, _, total in seen] == [(i, STEPS) for i in range(STEPS)]
    _, x0, x, _ = seen[0]
    assert torch.equal(x, noise) and x0.shape == noise.shape
    if method == "euler":
        assert_close(patcher.model.latent_format.process_out(seen[-1][1]), out, 1e-5)


def test_an_interrupt_stops_at_the_next_step(patcher, noise):
    seen = []

    def callback(step, x0, x, total):
        seen.append(step)
        if step == 1:
            raise comfy.model_management.InterruptProcessingException

    with pytest.raises(comfy.model_management.InterruptProcessingException):
        sample(patcher, noise, "rk4", callback=callback)
    assert seen == [0, 1]
    sample(patcher, noise, "rk4")


def test_the_model_sees_the_grids_sigmas_exactly(patcher, noise):
    seen, sigmas = [], schedule_sigmas("rational", STEPS)
    watched = patcher.clone()

    def watch(executor, x, t, *args, **kwargs):
        seen.append(float(t[0]))
        return executor(x, t, *args, **kwargs)

    watched.add_wrapper_with_key(comfy.patcher_extension.WrappersMP.APPLY_MODEL, "test", watch)
    sample(watched, noise, "heun", sigmas, cfg=1.0)
    assert seen[::2] == sigmas[:-1].tolist()
    assert seen[1::2] == [*sigmas[1:-1].tolist(), pytest.approx(LAST_SIGMA)]


@pytest.mark.parametrize(
    ("sigmas", "message"),
    [
        ([14.6, 1.0, 0.0], "sigmas between 1 .noise. and 0 .image., got 0 to 14.6; connect Flow Schedule"),
        ([0.0, 0.5, 0.9], "needs sigmas that descend, got equal or ascending ones; remove Flip Sigmas"),
        ([1.0, 0.5, 0.5, 0.0], "got equal or ascending"),
        ([1.0, 0.5, 0.0, 0.0], "got equal or ascending"),
        ([0.9, float("nan"), 0.0], "sigmas between 1"),
        ([0.5, -0.5], "got -0.5 to 0.5"),
    ],
)
def test_bad_sigmas(patcher, noise, sigmas, message):
    with pytest.raises(ValueError, match=message):
        sample(patcher, noise, sigmas=torch.tensor(sigmas))


def test_models_that_are_no_flows(patcher, noise):
    class Diffusion(comfy.model_sampling.ModelSamplingDiscrete, comfy.model_sampling.EPS):
        pass

    diffusion = patcher.clone()
    diffusion.add_object_patch("model_sampling", Diffusion())
    with pytest.raises(ValueError, match=r"Flow Sampler is for flow models.*starts at 14.61 \(.*EPS\)"):
        sample(diffusion, noise)


def test_dopri5_agrees_with_the_pure_solver_on_a_fine_grid(patcher, network, noise):
    (sampler,) = FlowSampler.execute({"method": "dopri5", "rtol": 1e-4, "atol": 1e-4}).args
    seen, sigmas = [], schedule_sigmas("uniform", 10)
    out = comfy.sample.sample_custom(
        patcher, noise, 1.0, sampler, sigmas, [[POSITIVE, {}]], [[NEGATIVE, {}]], torch.zeros_like(noise),
        disable_pbar=True, callback=lambda *step: seen.append(step),
    )  # fmt: skip
    assert_close(out, pure(network, patcher, noise, times("rational", 100), "rk4", cfg=1.0), 2e-3)
    numbers = [step for step, *_ in seen]
    assert numbers == sorted(numbers) and 0 <= numbers[0] < numbers[-1] < 10
    assert torch.equal(seen[0][2], noise)


def test_dopri5_takes_only_the_ends_of_the_sigmas(patcher, noise):
    (sampler,) = FlowSampler.execute("dopri5", **{"method.rtol": 0.01, "method.atol": 0.01}).args
    conds = [[POSITIVE, {}]], [[NEGATIVE, {}]]

    def run(sigmas):
        sigmas = torch.tensor(sigmas)
        return comfy.sample.sample_custom(
            patcher, noise, CFG, sampler, sigmas, *conds, torch.zeros_like(noise), disable_pbar=True
        )

    assert torch.equal(run([1.0, 0.5, 0.3]), run([1.0, 0.4, 0.35, 0.3]))
    assert not torch.equal(run([1.0, 0.3]), run([1.0, 0.2]))
    with pytest.raises(ValueError, match="needs sigmas that descend"):
        run([1.0, 0.5, 0.5, 0.0])


def test_unknown_method():
    with pytest.raises(ValueError, match="unknown solver 'lms'"):
        FlowSampler.execute("lms")


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_channel_guidance_guides_the_first_channels(patcher, network, noise, channels):
    (patched,) = ChannelGuidance.execute(patcher, channels).args
    out = sample(patched, noise)
    expected = pure(network, patcher, noise, times("rational", STEPS), channels=channels)
    assert_close(out, expected, 1e-5)
    whole = sample(patcher, noise)
    if channels == 4:
        assert_close(out, whole, 1e-5)
    else:
        assert (out - whole).abs().max() > 1e-2 * whole.abs().max()


def test_channel_guidance_at_cfg_one_is_the_positive_prompt_alone(patcher, noise):
    (patched,) = ChannelGuidance.execute(patcher, 3).args
    assert torch.equal(sample(patched, noise, cfg=1.0), sample(patcher, noise, cfg=1.0))


def test_channel_guidance_leaves_the_original_alone_and_acts_once(patcher):
    (patched,) = ChannelGuidance.execute(patcher, 3).args
    assert "sampler_cfg_function" not in patcher.model_options
    with pytest.raises(ValueError, match="another node has already replaced this model's guidance"):
        ChannelGuidance.execute(patched, 3)


@pytest.mark.parametrize("channels", [0, 5])
def test_channel_guidance_refuses_channels_that_do_not_exist(patcher, channels):
    with pytest.raises(ValueError, match=f"channels must be between 1 and 4, .*, got {channels}"):
        ChannelGuidance.execute(patcher, channels)
