"""Visual anagrams through SamplerCustomAdvanced: what is averaged, what is left exact, what is refused."""

import comfy.sample
import comfy.samplers
import pytest
import torch
from comfy_extras.nodes_custom_sampler import CFGGuider, Noise_RandomNoise, SamplerCustomAdvanced

from lumina_next.nodes.adapter.sampling.anagram import VIEWS
from lumina_next.nodes.sampling.visual_anagram import VisualAnagram
from lumina_next.tests.support.patch_models import KINDS, load, load_own, prompt, sample

SIGMAS = torch.tensor([1.0, 0.7, 0.3, 0.0])


def run(guider, size=(16, 16), sigmas=SIGMAS, batch=1):
    channels = guider.model_patcher.get_model_object("latent_format").latent_channels
    latent = {"samples": torch.zeros(batch, channels, *size)}
    sampler = comfy.samplers.sampler_object("euler")
    out = SamplerCustomAdvanced.execute(Noise_RandomNoise(7), guider, sampler, sigmas, latent)
    return out.result[0]["samples"]


def anagram(model, *views, cfg=4.0):
    slots = {}
    for number, (view, positive) in enumerate(views, start=1):
        slots |= {f"positive_{number}": positive, f"view_{number}": view}
    return VisualAnagram.execute(model, prompt(4, 1), cfg, **slots).result[0]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("count", [2, 3, 4])
def test_identity_views_of_one_prompt_are_the_plain_guider_bit_for_bit(kind, count):
    model = load(kind)
    plain = CFGGuider.execute(model, prompt(6), prompt(4, 1), 4.0).result[0]
    assert torch.equal(run(anagram(model, *[("identity", prompt(6))] * count)), run(plain))


TURNS = {
    "identity": lambda x: x,
    "flip_horizontal": lambda x: x.flip(-1),
    "flip_vertical": lambda x: x.flip(-2),
    "rotate_90": lambda x: x.transpose(-1, -2).flip(-1),  # clockwise: the first row becomes the last column
    "rotate_180": lambda x: x.flip(-1, -2),
    "rotate_270": lambda x: x.transpose(-1, -2).flip(-2),
}
UNDONE = {"rotate_90": "rotate_270", "rotate_270": "rotate_90"}


def one_step(model, *views, size=(16, 16), batch=1):
    """Return what one step from pure noise makes of the mean of all views' guided velocities."""
    noise = Noise_RandomNoise(7).generate_noise({"samples": torch.zeros(batch, 4, *size)})

    def velocity(x, text):
        text = text.expand(batch, -1, -1)
        with torch.no_grad():
            return -model.model.diffusion_model(x, torch.ones(batch), text, torch.ones(text.shape[:2]))

    def guided(x, positive):
        conditional, unconditional = velocity(x, positive[0][0]), velocity(x, prompt(4, 1)[0][0])
        return unconditional + 4.0 * (conditional - unconditional)

    turned = [TURNS[UNDONE.get(view, view)](guided(TURNS[view](noise), positive)) for view, positive in views]
    return model.model.process_latent_out(noise + sum(turned) / len(turned))


@pytest.mark.parametrize("view", [view for view in VIEWS if view != "identity"])
def test_the_averaged_velocity_equals_brute_force(view):
    model, views = load_own(), [("identity", prompt(6)), (view, prompt(5, 3))]
    got = run(anagram(model, *views), sigmas=torch.tensor([1.0, 0.0]))
    torch.testing.assert_close(got, one_step(model, *views), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("view", VIEWS)
def test_every_view_has_a_way_back(view):
    x = torch.arange(12.0).reshape(1, 1, 3, 4)
    assert torch.equal(VIEWS[view].back(VIEWS[view].see(x)), x)
    assert VIEWS[view].swaps == (VIEWS[view].see(x).shape != x.shape)


def test_seen_the_other_way_round_it_is_the_other_anagram():
    """Equivariance: exchanging the prompts of picture and view turns the result, from noise turned alike."""
    model = load_own()
    first, second = prompt(6), prompt(5, 3)
    turn = VIEWS["rotate_180"].see

    class Turned(Noise_RandomNoise):
        def generate_noise(self, latent):
            return turn(super().generate_noise(latent))

    one = run(anagram(model, ("identity", first), ("rotate_180", second)))
    guider = anagram(model, ("identity", second), ("rotate_180", first))
    sampler = comfy.samplers.sampler_object("euler")
    latent = {"samples": torch.zeros(1, 4, 16, 16)}
    other = SamplerCustomAdvanced.execute(Turned(7), guider, sampler, SIGMAS, latent).result[0]["samples"]
    torch.testing.assert_close(other, turn(one), atol=1e-4, rtol=1e-4)


def test_quarter_turns_need_a_square_and_half_turns_do_not():
    model = load_own()
    with pytest.raises(ValueError, match="need a square latent, and this one is 24×16"):
        run(anagram(model, ("identity", prompt(6)), ("rotate_90", prompt(5))), size=(16, 24))
    flips, size = [("identity", prompt(6)), ("rotate_180", prompt(5, 3)), ("flip_vertical", prompt(4, 5))], (15, 24)
    got = run(anagram(model, *flips), size, torch.tensor([1.0, 0.0]), batch=2)
    torch.testing.assert_close(got, one_step(model, *flips, size=size, batch=2), atol=1e-4, rtol=1e-4)


def test_models_that_take_a_picture_beside_the_latent_are_refused(monkeypatch):
    model = load_own()
    monkeypatch.setattr(model.model, "concat_keys", ("mask", "masked_image"), raising=False)
    with pytest.raises(ValueError, match="takes a picture beside the latent"):
        run(anagram(model, ("identity", prompt(6)), ("rotate_180", prompt(5))))


def test_the_models_own_guidance_acts_in_every_view():
    from lumina_next.nodes.adapter.sampling.guidance import guide_channels

    model = load_own()
    views = ("identity", prompt(6)), ("flip_vertical", prompt(5, 3))
    assert not torch.equal(run(anagram(guide_channels(model, 3), *views)), run(anagram(model, *views)))
    assert sample(model).shape == (1, 4, 24, 40)  # the model itself is as it was


def test_apgs_momentum_mixes_the_views_and_without_it_their_order_is_nothing():
    """What docs/combinations.md says: APG's running average knows one guidance, and goes from view to view."""
    from comfy_extras.nodes_apg import APG

    def apart(momentum: float) -> float:
        views = [("identity", prompt(6)), ("rotate_180", prompt(5, 3))]
        pictures = []
        for order in (views, views[::-1]):
            (model,) = APG.execute(load_own(), 0.0, 5.0, momentum).result
            pictures.append(run(anagram(model, *order)))
        return float((pictures[0] - pictures[1]).abs().max())

    assert apart(0.0) < 1e-4 and apart(-0.5) > 1e-2
