"""Networks of audio: what the reference code computes, any length, both kinds of blocks, files of all layouts."""

from dataclasses import replace

import pytest
import torch

from lumina_next.nextdit import AudioConfig, AudioDiT, RopeScaling, load_model, save_model
from lumina_next.nextdit.checkpoint import build, describe
from lumina_next.nextdit.families import recognised
from lumina_next.tests.support.audio_cases import assert_equal, stored
from lumina_next.tests.support.reference_weights import numbers, weights

SMALL = AudioConfig(dim=24, n_layers=2, n_heads=3, n_kv_heads=3, text_dim=16, in_channels=5, ffn_dim=32, time_dim=20)
KINDS = {
    "next": SMALL,
    "flag": replace(SMALL, block="flag", qk_norm=False),
    "mel in patches": replace(SMALL, in_channels=80, out_channels=80, patch_size=3, time_steps=1000, frame_rate=62.5),
}


def network(config: AudioConfig) -> AudioDiT:
    model = AudioDiT(config).eval()
    model.load_state_dict(weights({key: tuple(x.shape) for key, x in model.state_dict().items()}))
    return model


def inputs(config: AudioConfig, frames: int = 12, batch: int = 2) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    x = numbers("x", (batch, config.in_channels, frames))
    return x, torch.linspace(0.2, 0.7, batch), numbers("text", (batch, 6, 16))


@torch.no_grad()
@pytest.mark.parametrize("name", ["small", "wide"])
def test_flag_dit_equals_the_reference(name):
    case = f"network_{name}"
    found = recognised(stored(case))
    model = build(found.family, found.rename(stored(case)), {}).eval()
    velocity = model(numbers("x", (2, 5, 7)), torch.tensor([0.2, 0.7]), numbers("text", (2, 6, 16)))
    assert_equal(velocity, case, "velocity")
    stretched = {"linear": "interpolation", "ntk": "time_aware_watershed"}  # from the first step on a larger base
    for name, method in stretched.items():
        rope = RopeScaling(method, 1.75, train_tokens=7, watershed=0.0)
        x, text = numbers("x", (2, 5, 7)), numbers("text", (2, 6, 16))
        assert_equal(model(x, torch.tensor([0.2, 0.7]), text, rope=rope), case, name)


@torch.no_grad()
@pytest.mark.parametrize("kind", KINDS)
def test_any_length_of_frames_and_nothing_but_frames(kind):
    model = network(KINDS[kind])
    for frames in (1, 2, 7, 40):
        x, t, text = inputs(model.config, frames)
        assert model(x, t, text).shape == x.shape
    x, t, text = inputs(model.config)
    for wrong, says in ((x[:, 1:], "channels"), (x[..., None], "4 dimensions"), (x[..., :0], "empty")):
        with pytest.raises(ValueError, match=says):
            model(wrong, t, text)
    with pytest.raises(ValueError, match="16"):
        model(x, t, text[..., 1:])


@torch.no_grad()
@pytest.mark.parametrize("kind", KINDS)
def test_order_time_and_text_matter_and_what_a_mask_leaves_out_does_not(kind):
    model = network(KINDS[kind])
    x, t, text = inputs(model.config)
    whole = model(x, t, text)
    p = model.config.patch_size
    for other in (model(x.flip(-1), t, text).flip(-1), model(x, t / 2, text), model(x, t, text + 1)):
        assert (other - whole).abs().max() > 1e-3
    short = model(x[..., : 3 * p], t, text[:, :4])
    mask, text_mask = torch.zeros(2, 12), torch.tensor([[1, 1, 1, 1, 0, 0]] * 2)
    mask[:, : 3 * p] = 1
    assert torch.allclose(model(x, t, text, text_mask, mask=mask)[..., : 3 * p], short, atol=1e-5)


@torch.no_grad()
def test_time_is_a_whole_step_for_released_models_only():
    flag, following = network(replace(KINDS["flag"], time_steps=1000)), network(SMALL)
    x, _, text = inputs(SMALL, batch=1)
    times = [torch.tensor([t]) for t in (0.2901, 0.2909)]
    assert torch.equal(*(flag(x, t, text) for t in times))
    assert not torch.equal(*(following(x, t, text) for t in times))
    exact = torch.arange(1001) / 1000
    for t in (exact, 1 - (1 - exact)):
        assert torch.equal(flag.clock(t), torch.arange(1001.0))


@torch.no_grad()
def test_rope_is_stretched_along_time():
    model = network(SMALL)
    x, t, text = inputs(SMALL)
    plain = model(x, t, text)
    twice = RopeScaling("interpolation", 2.0, train_tokens=7)
    stretched = model(x, t, text, rope=twice)
    assert (stretched - plain).abs().max() > 1e-4
    table = model.axes.table([torch.arange(12)], twice.thetas(model.axes, t))
    half = model.axes.table([torch.arange(12) / 2], RopeScaling("extrapolation").thetas(model.axes, t))
    assert torch.allclose(table, half, atol=1e-6)
    sharp = RopeScaling("extrapolation", 2.0, train_tokens=7, proportional=True)
    assert sharp.logit_scale(49, model.axes) == pytest.approx(2**0.5)
    with pytest.raises(ValueError, match="one number"):
        model(x, t, text, rope=RopeScaling("interpolation", (2.0, 1.0)))


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_says_what_its_shapes_do_not(kind, tmp_path):
    config = replace(KINDS[kind], scale_factor=0.7312, latent_shift=-2.5, train_frames=130)
    save_model(network(config), tmp_path / "audio.safetensors", {"title": "x"})
    loaded = load_model(tmp_path / "audio.safetensors")
    assert loaded.config == config and describe(tmp_path / "audio.safetensors").config == config
    x, t, text = inputs(config)
    with torch.no_grad():
        assert torch.equal(loaded(x, t, text), network(config)(x, t, text))


def test_a_released_checkpoint_is_read_by_shapes_behind_its_prefix(tmp_path):
    model = network(replace(KINDS["flag"], time_steps=1000))
    weights_ = {f"model.diffusion_model.{key}": x for key, x in released(model).items()}
    others = {"scale_factor": torch.tensor(0.5), "first_stage_model.decoder.conv_out.weight": torch.zeros(3)}
    torch.save({"state_dict": weights_ | others | {"betas": torch.zeros(4)}}, tmp_path / "119.ckpt")
    loaded = load_model(tmp_path / "119.ckpt")
    assert loaded.config == replace(model.config, scale_factor=0.5)
    assert loaded.config.train_seconds == pytest.approx(9.984)


def released(model: AudioDiT) -> dict[str, torch.Tensor]:
    from lumina_next.nextdit.models.audio import FAMILY

    return {FAMILY.reference(key): x for key, x in model.state_dict().items()}


@pytest.mark.parametrize(("width", "layers", "heads"), [(768, 16, 32), (1152, 28, 16), (1536, 32, 32)])
def test_the_released_sizes_are_told_by_their_shapes(width, layers, heads):
    asked = AudioConfig(width, layers, heads, heads, 1024, block="flag", qk_norm=False, time_dim=width, time_steps=1000)
    shapes = {key: tuple(x.shape) for key, x in AudioDiT(asked, device="meta").state_dict().items()}
    assert AudioConfig.infer(shapes, {}) == asked


@pytest.mark.parametrize(
    ("told", "says"),
    [
        ({"patch_size": "two"}, "patch_size 'two'"),
        ({"patch_size": "4"}, "no multiple"),
        ({"frame_rate": "0"}, "frame_rate must be"),
        ({"scale_factor": "nan"}, "scale_factor must be"),
    ],
)
def test_nonsense_in_metadata_is_refused(told, says):
    shapes = {key: tuple(x.shape) for key, x in network(SMALL).state_dict().items()}
    with pytest.raises(ValueError, match=says):
        AudioConfig.infer(shapes, told)
