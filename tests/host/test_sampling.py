"""Stock sampling, conditioning and model-patch nodes on the native model."""

import numpy as np
import pytest

from lumina_next.tests.support.graphs import STEPS, TextToImage


def picture(client, graph: TextToImage) -> np.ndarray:
    return client.images(client.run(graph))[0]


def plain(**changes) -> TextToImage:
    graph = TextToImage()
    return graph.show(graph.sample(**changes))


def test_interrupt_stops_a_run_and_leaves_the_server_usable(client):
    graph = TextToImage()
    sampler = graph.sample(steps=10000)
    run = client.run(graph.show(sampler), interrupt_after=3)
    assert run.status == "interrupted"
    assert 3 <= len(run.steps(sampler[0])) < 2000
    after = client.run(plain(seed=11))
    assert after.status == "success" and len(after.of("progress")) >= STEPS


def test_a_batch_gives_different_pictures_and_the_first_is_the_single_one(client):
    graph = TextToImage()
    graph[graph.latent[0]]["inputs"]["batch_size"] = 3
    images = client.images(client.run(graph.show(graph.sample(seed=12))))
    assert len({image.tobytes() for image in images}) == 3
    single = picture(client, plain(seed=12))
    assert np.abs(images[0].astype(int) - single).max() <= 1


@pytest.mark.parametrize("width, height", [(61, 45), (64, 50), (30, 96)])
def test_any_size_keeps_its_size(client, width, height):
    graph = TextToImage()
    pixels = graph.add("EmptyImage", width=width, height=height, batch_size=1, color=0x406080)
    latent = graph.add("VAEEncode", pixels=pixels, vae=graph.vae)
    image = picture(client, graph.show(graph.sample(latent_image=latent, denoise=0.8)))
    assert image.shape == (height, width, 3) and image.std() > 1


def test_every_lumina_scheduler_of_the_ksampler_runs(client, server):
    names = server.get("/object_info/KSampler")["KSampler"]["input"]["required"]["scheduler"][0]
    ours = [name for name in names if name.startswith("lumina_")]
    assert len(ours) == len(set(ours)) >= 2
    pictures = {picture(client, plain(scheduler=name)).tobytes() for name in ours}
    assert len(pictures) == len(ours)


# How each stock node makes a positive conditioning out of two encoded prompts a and b.
CONDITIONINGS = {
    "ConditioningCombine": lambda g, a, b: g.add("ConditioningCombine", conditioning_1=a, conditioning_2=b),
    "ConditioningConcat": lambda g, a, b: g.add("ConditioningConcat", conditioning_to=a, conditioning_from=b),
    "ConditioningAverage": lambda g, a, b: g.add(
        "ConditioningAverage", conditioning_to=a, conditioning_from=b, conditioning_to_strength=0.5
    ),
    "ConditioningSetArea": lambda g, a, b: g.add(
        "ConditioningCombine",
        conditioning_1=a,
        conditioning_2=g.add("ConditioningSetArea", conditioning=b, width=64, height=64, x=40, y=0, strength=1.0),
    ),
    "ConditioningSetMask": lambda g, a, b: g.add(
        "ConditioningCombine",
        conditioning_1=a,
        conditioning_2=g.add(
            "ConditioningSetMask",
            conditioning=b,
            mask=g.add("SolidMask", value=0.5, width=128, height=64),
            strength=1.0,
            set_cond_area="default",
        ),
    ),
    "ConditioningSetTimestepRange": lambda g, a, b: g.add(
        "ConditioningCombine",
        conditioning_1=g.add("ConditioningSetTimestepRange", conditioning=a, start=0.0, end=0.5),
        conditioning_2=g.add("ConditioningSetTimestepRange", conditioning=b, start=0.5, end=1.0),
    ),
    "ConditioningZeroOut": lambda g, a, b: g.add("ConditioningZeroOut", conditioning=a),
}


@pytest.mark.parametrize("node", CONDITIONINGS)
def test_conditioning_node(client, node):
    graph = TextToImage()
    graph[graph.latent[0]]["inputs"]["width"] = 128
    other = graph.encode("a much longer prompt about a blue boat on a quiet lake under a yellow evening sky")
    positive = CONDITIONINGS[node](graph, graph.positive, other)
    graph.show(graph.sample(positive=positive))
    graph.show(graph.sample())
    image, without = client.images(client.run(graph))
    assert image.std() > 1
    assert not np.array_equal(image, without), f"{node} has no effect"


@pytest.mark.parametrize("guider", ["CFGGuider", "BasicGuider"])
def test_custom_sampling_equals_the_ksampler(client, guider):
    graph = TextToImage()
    if guider == "CFGGuider":
        scale = 4.0
        guide = graph.add(guider, model=graph.model, positive=graph.positive, negative=graph.negative, cfg=scale)
    else:
        scale = 1.0
        guide = graph.add(guider, model=graph.model, conditioning=graph.positive)
    sigmas = graph.add("BasicScheduler", model=graph.model, scheduler="simple", steps=STEPS, denoise=1.0)
    sampler = graph.add("KSamplerSelect", sampler_name="euler")
    noise = graph.add("RandomNoise", noise_seed=5)
    parts = {"noise": noise, "guider": guide, "sampler": sampler, "sigmas": sigmas, "latent_image": graph.latent}
    image = picture(client, graph.show(graph.add("SamplerCustomAdvanced", **parts)))
    assert np.array_equal(image, picture(client, plain(seed=5, cfg=scale)))


def test_both_shift_nodes_mean_the_same_time_shift(client):
    pictures = {}
    for node in ("ModelSamplingSD3", "ModelSamplingAuraFlow"):
        graph = TextToImage()
        shifted = graph.add(node, model=graph.model, shift=4.0)
        pictures[node] = picture(client, graph.show(graph.sample(model=shifted)))
    first, second = pictures.values()
    assert np.abs(first.astype(int) - second).max() <= 1
    assert not np.array_equal(first, picture(client, plain()))


PATCHES = {
    "EasyCache": {"reuse_threshold": 0.5, "start_percent": 0.0, "end_percent": 1.0, "verbose": False},
    "RescaleCFG": {"multiplier": 0.7},
    "ModelComputeDtype": {"dtype": "bf16"},
    "LuminaNextChannelGuidance": {"channels": 1},
}


@pytest.mark.parametrize("node", PATCHES)
def test_model_patch_node_runs_and_does_something(client, node):
    graph = TextToImage()
    patched = graph.add(node, model=graph.model, **PATCHES[node])
    image = picture(client, graph.show(graph.sample(model=patched, steps=12)))
    assert image.std() > 1
    assert not np.array_equal(image, picture(client, plain(steps=12))), f"{node} has no effect"


def test_guiding_all_channels_is_plain_guidance(client):
    graph = TextToImage()
    patched = graph.add("LuminaNextChannelGuidance", model=graph.model, channels=3)
    image = picture(client, graph.show(graph.sample(model=patched)))
    assert np.abs(image.astype(int) - picture(client, plain())).max() <= 1


def test_flow_schedule_draws_its_curve(client):
    graph = TextToImage()
    inputs = {"schedule": "rational", "schedule.alpha": 4.0, "steps": 6, "denoise": 1.0}
    sigmas = graph.add("LuminaNextFlowSchedule", **inputs)
    sampler = graph.add("LuminaNextFlowSampler", method="heun")
    parts = {"model": graph.model, "positive": graph.positive, "negative": graph.negative, "cfg": 4.0}
    parts |= {"add_noise": True, "noise_seed": 1, "sampler": sampler, "sigmas": sigmas, "latent_image": graph.latent}
    run = client.run(graph.show(graph.add("SamplerCustom", **parts)))
    (curve,) = client.images(run, "temp")
    assert curve.shape[1] > 200 and curve.std() > 1
    assert client.images(run)[0].std() > 1


def test_dopri5_runs(client):
    graph = TextToImage()
    options = {"method": "dopri5", "method.rtol": 0.1, "method.atol": 0.1}
    sigmas = graph.add("LuminaNextFlowSchedule", schedule="uniform", steps=8, denoise=1.0)
    guider = graph.add("BasicGuider", model=graph.model, conditioning=graph.positive)
    parts = {"noise": graph.add("RandomNoise", noise_seed=9), "guider": guider, "sigmas": sigmas}
    parts["sampler"] = graph.add("LuminaNextFlowSampler", **options)
    run = client.run(graph.show(graph.add("SamplerCustomAdvanced", latent_image=graph.latent, **parts)))
    assert client.images(run)[0].std() > 1


@pytest.mark.parametrize("method", ["euler", "midpoint", "heun", "rk4"])
def test_every_flow_sampler_reports_each_step_and_can_be_interrupted(client, method):
    def graph(steps: int) -> tuple[TextToImage, str]:
        graph = TextToImage()
        sigmas = graph.add("LuminaNextFlowSchedule", schedule="uniform", steps=steps, denoise=1.0)
        sampler = graph.add("LuminaNextFlowSampler", method=method)
        guider = graph.add("BasicGuider", model=graph.model, conditioning=graph.positive)
        noise = graph.add("RandomNoise", noise_seed=9)
        parts = {"noise": noise, "guider": guider, "sampler": sampler, "sigmas": sigmas}
        node = graph.add("SamplerCustomAdvanced", latent_image=graph.latent, **parts)
        return graph.show(node), node[0]

    prompt, node = graph(5)
    run = client.run(prompt)
    assert run.status == "success", run.error
    assert set(run.steps(node)) >= {1, 2, 3, 4, 5} and len(run.previews) >= 5
    prompt, node = graph(5000)
    run = client.run(prompt, interrupt_after=2)
    assert run.status == "interrupted" and len(run.steps(node)) < 1000


def test_tiled_decode_is_the_whole_decode_in_pixel_space(client):
    """Pixels have no neighbours to lose at a tile's edge."""
    graph = TextToImage()
    graph[graph.latent[0]]["inputs"] |= {"width": 160, "height": 96}
    samples = graph.sample(steps=2)
    tiles = {"tile_size": 64, "overlap": 0, "temporal_size": 64, "temporal_overlap": 8}
    graph.show(samples)
    graph.add(
        "SaveImage",
        images=graph.add("VAEDecodeTiled", samples=samples, vae=graph.vae, **tiles),
        filename_prefix="tiled",
    )
    whole, tiled = client.images(client.run(graph))
    assert whole.shape == tiled.shape == (96, 160, 3) and np.abs(whole.astype(int) - tiled).max() <= 1
