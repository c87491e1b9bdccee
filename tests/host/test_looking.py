"""Nodes that are run alone to be looked at, and what nodes say while they run."""

from lumina_next.tests.support.graphs import Graph, TextToImage

ROPE = {"method": "interpolation", "factor": "area", "proportional_attention": False, "train_size": 32}
SCHEDULE = {"schedule": "rational", "schedule.alpha": 4.0, "steps": 9, "denoise": 1.0}
CELL = {"rows": 1, "columns": 2, "row": 1, "column": 2, "feather": 0.2, "width": 64, "height": 64}


def test_each_node_with_a_picture_runs_without_a_sampler(client):
    graph = Graph()
    graph.add("LuminaNextFlowSchedule", **SCHEDULE)
    graph.add("LuminaNextGridMask", **CELL)
    model = graph.add(
        "LuminaNextLoadModel", model_name="lumina-next-demo.safetensors", weight_dtype="fp8_e5m2"
    )  # not cached
    graph.add("LuminaNextScaledRope", model=model, **ROPE)
    run = client.run(graph)
    pictures = client.images(run, "temp")
    assert [picture.shape[1] for picture in pictures] == [360, 320, 360] and all(p.std() > 1 for p in pictures)
    assert run.texts[model[0]] == ["Next-DiT, text to image, trained at 64 × 64; VAE: pixel_space"]


def test_a_graph_without_them_runs_as_before(client):
    """As output nodes they run beside a sampler, not instead of it, and only where they are."""
    graph = TextToImage()
    graph.add("LuminaNextFlowSchedule", **SCHEDULE)
    run = client.run(graph.show(graph.sample(seed=41)))
    assert len(client.images(run)) == 1 and len(client.images(run, "temp")) == 1


def test_the_size_that_is_far_above_the_models_own_is_said_on_the_sampler(client):
    graph = TextToImage("lumina-next-demo.safetensors")
    graph.clip = graph.load_text_encoder("lumina-next-demo")
    graph.positive, graph.negative = graph.encode("a rocket"), graph.encode("")
    graph.latent = graph.add("EmptyLatentImage", width=1024, height=512, batch_size=2)
    samples = graph.sample(steps=1)
    run = client.run(graph.show(samples))
    assert [image.shape for image in client.images(run)] == [(44, 92, 3)] * 2
    (text,) = run.texts[samples[0]]
    assert text.startswith("drawn at 92 × 44, as trained: 1024 × 512 would take minutes a step")
