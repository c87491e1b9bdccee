"""Prompts for parts of the time of sounds and clips, and regions in clips, through ComfyUI's own sampling."""

import comfy.sample
import pytest
import torch
from comfy.patcher_extension import WrappersMP

from lumina_next.nextdit import save_model
from lumina_next.nextdit.call import Call
from lumina_next.nextdit.layers.attend import sdpa
from lumina_next.nextdit.models.audio import AudioDiT
from lumina_next.nextdit.regions import Region, Regions
from lumina_next.nextdit.stretch import Stretch
from lumina_next.nodes.adapter.models import loading
from lumina_next.nodes.adapter.patches.region_places import area_mask
from lumina_next.nodes.adapter.patches.regions import KEY, MASKS
from lumina_next.nodes.adapter.patches.sounds_in_order import encode_in_order
from lumina_next.nodes.conditioning.regional_prompt import RegionalPrompt
from lumina_next.nodes.conditioning.timed_prompt import TimedPrompt
from lumina_next.tests.support.patch_models import load_own, prompt, sample, spied
from lumina_next.tests.support.untrained_audio import NETWORK, SPECTRA, write_spectra
from lumina_next.tests.support.untrained_video import CONFIG, untrained

SOUND, CLIP = (1, 80, 40), (1, 3, 6, 12, 16)


@pytest.fixture(scope="module")
def sounds(tmp_path_factory):
    return loading.load(write_spectra(tmp_path_factory.mktemp("sounds") / "sounds.safetensors"))


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    file = tmp_path_factory.mktemp("clips") / "clips.safetensors"
    save_model(untrained(), file, {"train_tokens": "8", "train_frames": "8"})
    return loading.load(file)


KINDS = {"sounds": (SOUND, SPECTRA.text_dim), "clips": (CLIP, CONFIG.text_dim)}


@pytest.fixture(params=KINDS)
def kind(request):
    """A MODEL, a latent's shape and the width of its texts."""
    return request.getfixturevalue(request.param), *KINDS[request.param]


def timed(conditioning, part, begins=0.0, ends=0.5, fade=0.0, areas_until=0.0, **more):
    return TimedPrompt.execute(conditioning, part, begins, ends, fade, areas_until, **more).result[0]


def halves(width: int, **settings):
    first = timed(prompt(6, 0, width), prompt(3, 2, width), 0.0, 0.5, **settings)
    return timed(first, prompt(5, 3, width), 0.5, 1.0, **settings)


def run(model, shape, positive, *, cfg=1.0, steps=2, noise=None, mask=None, latent=None, width=0):
    latent = torch.zeros(shape) if latent is None else latent
    noise = comfy.sample.prepare_noise(latent, 7) if noise is None else noise
    negative = prompt(4, 1, positive[0][0].shape[-1])
    return comfy.sample.sample(
        model, noise, steps, cfg, "euler", "simple", positive, negative, latent, noise_mask=mask, seed=7,
        disable_pbar=True,
    )  # fmt: skip


def calls_of(model, shape, positive, **options):
    seen = []

    def look(executor, x, sigma, context, mask, *args, **kwargs):
        seen.append((x, 1 - sigma, context, mask, kwargs))

    return run(spied(model, WrappersMP.DIFFUSION_MODEL, look), shape, positive, **options), seen


def test_the_network_attends_part_by_part(kind):
    model, shape, width = kind
    first = timed(prompt(6, 0, width), prompt(3, 2, width), 0.0, 0.55, 0.2, strength=0.5)
    _, seen = calls_of(model, shape, timed(first, prompt(5, 3, width), 0.4, 1.0), steps=1)
    ((x, t, context, mask, kwargs),) = seen
    shares = [0.5 * Stretch(0.0, 0.55, 0.2).share(shape[2]), Stretch(0.4, 1.0).share(shape[2])]
    places = kwargs[MASKS].flatten(3).mean(-1) if len(shape) == 5 else kwargs[MASKS]
    torch.testing.assert_close(places[0], torch.stack([2 * shares[0], shares[1]]))
    regions, network = Regions(6, (Region(3, 0.5), Region(5))), model.model.diffusion_model
    weights = regions.weights(kwargs[MASKS], t, network.patch_size)
    pooled = context[:, :6].mean(1)
    if len(shape) == 5:  # each frame by the texts that it hears
        means = torch.stack([context[:, span].mean(1) for span in regions.spans()], 1)[0]
        pooled = weights[0].unflatten(1, (shape[2], -1)).mean(2).T @ means
    own = Call(cross=regions.cross(weights, sdpa), pooled=pooled)
    with torch.no_grad():
        expected = network.velocity(x, t, context, mask, own)
        torch.testing.assert_close(-network(x, 1 - t, context, mask, **kwargs), expected, atol=1e-5, rtol=1e-4)
        assert (expected - network.velocity(x, t, context, mask)).abs().max() > 1e-3


def test_a_part_that_is_all_the_time_is_the_prompt_itself(kind):
    model, shape, width = kind
    whole = timed(prompt(6, 0, width), prompt(6, 0, width), 0.0, 1.0)
    for areas in (0.0, 1.0):
        again = timed(prompt(6, 0, width), prompt(6, 0, width), 0.0, 1.0, areas_until=areas)
        torch.testing.assert_close(
            run(model, shape, again, cfg=3.0), run(model, shape, prompt(6, 0, width), cfg=3.0), atol=2e-4, rtol=1e-3
        )
    assert len(whole[0][1]["model_conds"][KEY].cond) == 1


def test_parts_that_are_areas_all_along_are_sounds_or_clips_of_their_own(kind):
    model, shape, width = kind
    made = run(model, shape, halves(width, areas_until=1.0))
    noise = comfy.sample.prepare_noise(torch.zeros(shape), 7)
    for seed, part in ((2, slice(0, shape[2] // 2)), (3, slice(shape[2] // 2, None))):
        own = noise[:, :, part].contiguous()
        alone = run(model, own.shape, prompt({2: 3, 3: 5}[seed], seed, width), noise=own)
        torch.testing.assert_close(made[:, :, part], alone, atol=1e-4, rtol=1e-3)


def test_a_part_changes_its_own_time_first(kind):
    """One step moves what attends to the new text most; the rest only feels it through self-attention."""
    model, shape, width = kind
    before, after = (timed(prompt(6, 0, width), prompt(3, seed, width), 0.5, 1.0) for seed in (2, 9))
    moved = (run(model, shape, before, steps=1) - run(model, shape, after, steps=1)).abs().transpose(1, 2).flatten(2)
    middle = shape[2] // 2
    assert moved[:, middle:].mean() > 1.5 * moved[:, :middle].mean()


def test_guidance_batches_and_a_silenced_negative(kind):
    model, shape, width = kind
    positive = halves(width, areas_until=0.5)
    single = run(model, shape, positive, cfg=3.0)
    several = torch.zeros(2, *shape[1:])
    noise = comfy.sample.prepare_noise(several, 7)
    both = run(model, several.shape, positive, cfg=3.0, noise=noise)
    first = run(model, shape, positive, cfg=3.0, noise=noise[:1])
    torch.testing.assert_close(both[:1], first, atol=1e-4, rtol=1e-3)
    assert single.isfinite().all()
    zeroed = [[torch.zeros_like(features), options] for features, options in positive]
    silent = [[torch.zeros_like(features), {}] for features, _ in prompt(6, 0, width)]
    torch.testing.assert_close(run(model, shape, zeroed), run(model, shape, silent), atol=1e-5, rtol=1e-4)


def test_regions_of_a_clip_have_places_and_times(clips):
    left = torch.zeros(1, 24, 32)
    left[..., :16] = 1.0
    region = RegionalPrompt.execute(
        prompt(6, 0, CONFIG.text_dim), prompt(3, 2, CONFIG.text_dim), "normalised", left, strength=1.0,
        global_weight=0.0, start_percent=0.0, end_percent=1.0,
    ).result[0]  # fmt: skip
    both = timed(region, prompt(5, 3, CONFIG.text_dim), 0.5, 1.0, mask=1 - left)
    _, seen = calls_of(clips, CLIP, both, steps=1)
    masks = seen[0][4][MASKS]
    expected = torch.zeros(1, 2, *CLIP[2:])
    expected[:, 0, :, :, :8] = 1.0
    expected[:, 1, 3:, :, 8:] = 1.0
    torch.testing.assert_close(masks, expected)
    apart = timed(region, prompt(5, 3, CONFIG.text_dim), 0.5, 1.0, mask=1 - left, areas_until=1.0)
    _, seen = calls_of(clips, CLIP, apart, steps=1)
    assert [x.shape[2:] for x, *_ in seen] == [(3, 12, 8), (6, 12, 8), (3, 12, 8)]


def test_a_place_of_a_clip_does_not_modulate_its_frames(clips):
    """As in a picture, the global prompt does; only prompts of a time modulate."""
    width, left = CONFIG.text_dim, torch.zeros(1, 24, 32)
    left[..., :16] = 1.0
    settings = {"strength": 1.0, "global_weight": 0.0, "start_percent": 0.0, "end_percent": 1.0}
    region = RegionalPrompt.execute(prompt(6, 0, width), prompt(3, 2, width), "normalised", left, **settings).result[0]
    _, seen = calls_of(clips, CLIP, region, steps=1)
    ((x, t, context, mask, kwargs),) = seen
    regions, network = Regions(6, (Region(3),)), clips.model.diffusion_model
    weights = regions.weights(kwargs[MASKS], t, network.patch_size)
    own = Call(cross=regions.cross(weights, sdpa), pooled=context[:, :6].mean(1))
    with torch.no_grad():
        expected = network.velocity(x, t, context, mask, own)
        torch.testing.assert_close(-network(x, 1 - t, context, mask, **kwargs), expected, atol=1e-5, rtol=1e-4)


def test_a_mask_of_several_images_is_one_a_frame(clips):
    masks = torch.rand(3, 24, 32)  # for six frames: each lasts for two
    _, seen = calls_of(
        clips, CLIP, timed(prompt(6, 0, CONFIG.text_dim), prompt(3, 2, CONFIG.text_dim), 0, 1, mask=masks)
    )
    per_frame = torch.nn.functional.interpolate(masks[:, None], CLIP[3:], mode="area")[:, 0].repeat_interleave(2, 0)
    torch.testing.assert_close(seen[0][4][MASKS][0, 0], per_frame)


def test_a_mask_s_columns_are_the_time_of_a_sound(sounds):
    masks = torch.rand(2, 5, 80)  # one a sound of the batch
    conditioning = timed(prompt(6, 0, SPECTRA.text_dim), prompt(3, 2, SPECTRA.text_dim), 0, 1, mask=masks)
    _, seen = calls_of(sounds, (2, *SOUND[1:]), conditioning)
    torch.testing.assert_close(seen[0][4][MASKS][:, 0], masks.mean(1).unflatten(1, (40, 2)).mean(2))


@pytest.mark.parametrize("areas_until", [0.0, 1.0])
def test_given_frames_stay_as_they_are(clips, areas_until):
    latent = torch.rand(CLIP, generator=torch.Generator().manual_seed(3)) * 2 - 1
    mask = torch.ones(1, 1, *CLIP[2:])
    mask[:, :, 0] = 0.0
    made = run(clips, CLIP, halves(CONFIG.text_dim, areas_until=areas_until), latent=latent, mask=mask)
    torch.testing.assert_close(made[:, :, 0], latent[:, :, 0], atol=1e-5, rtol=1e-4)
    assert made.isfinite().all() and (made[:, :, 1:] - latent[:, :, 1:]).abs().mean() > 0.1


def test_core_s_context_windows_cut_the_parts_with_the_clip(clips):
    windows = pytest.importorskip("comfy_extras.nodes_context_windows").ContextWindowsManualNode
    long = (1, 3, 8, 12, 16)
    windowed = windows.execute(clips, 4, 0, "standard_uniform", 1, False, "flat", 2, False).result[0]
    _, seen = calls_of(windowed, long, halves(CONFIG.text_dim), steps=1)
    assert len(seen) == 2 and all(kwargs[MASKS].shape[2:] == x.shape[2:] != long[2:] for x, *_, kwargs in seen)
    firsts = [kwargs[MASKS][0, 0, :, 0, 0].tolist() for *_, kwargs in seen]
    assert [sum(first) for first in firsts] == [4.0, len(firsts[1]) - 4.0]


def test_stock_areas_of_clips():
    assert (
        area_mask(("percentage", 0.5, 1.0, 0.5, 0.5, 0.0, 0.0), 4, 2, 2)[0, :, 0].tolist()
        == [[0, 0]] * 2 + [[1, 0]] * 2
    )
    assert area_mask((2, 1, 0, 1), 2, 2, 2)[0].tolist() == [[[0, 1], [0, 1]]] * 2
    for axes in ((4,), (4, 4)):
        with pytest.raises(ValueError, match="area on a region has"):
            area_mask(("percentage", 0.5, 1.0, 0.5, 0.5, 0.0, 0.0), *axes)


def test_pictures_have_no_time():
    with pytest.raises(ValueError, match="a picture has no time"):
        sample(load_own(), positive=timed(prompt(6), prompt(3, 2)))


def test_flag_blocks_take_parts_too():
    torch.manual_seed(0)
    network = AudioDiT(NETWORK).eval()
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.15)
    x, t, text = torch.randn(1, NETWORK.in_channels, 16), torch.tensor([0.4]), torch.randn(1, 9, NETWORK.text_dim)
    regions = Regions(3, (Region(2), Region(4)))
    masks = torch.stack([Stretch(0, 0.5).share(16), Stretch(0.5, 1).share(16)])[None]
    cross = regions.cross(regions.weights(masks, t, NETWORK.patch_size), sdpa)
    with torch.no_grad():
        parts = network.velocity(x, t, text, None, Call(cross=cross, pooled=text[:, :3].mean(1)))
        assert parts.isfinite().all() and (parts - network.velocity(x, t, text)).abs().max() > 1e-3


class Clip:
    """What a CLIP is asked to encode."""

    def __init__(self):
        self.texts = []

    def tokenize(self, text):
        self.texts.append(text)
        return text

    def encode_from_tokens_scheduled(self, text):
        return prompt(len(text), len(text))


def test_a_caption_is_encoded_part_by_part():
    clip = Clip()
    conditioning, told = encode_in_order(clip, "a dog barks, then a gong", 0.3)
    assert clip.texts == ["<dog barks& start>@<gong& end>", "<dog barks& all>", "<gong& all>"]
    assert told == "0 to 50 %: dog barks; 50 to 100 %: gong"
    regions = conditioning[0][1]["model_conds"][KEY]
    assert [region.stretch for region in regions.cond] == [Stretch(0, 0.5), Stretch(0.5, 1)]
    assert regions.areas_until == 0.3
    clip = Clip()
    conditioning, told = encode_in_order(clip, "a gong", 0.3)
    assert clip.texts == ["a gong"] and "model_conds" not in conditioning[0][1] and told == "one sound all the time"
    with pytest.raises(ValueError, match="connect the CLIP output of Load Lumina Audio Model"):
        encode_in_order(None, "a gong", 0.3)
