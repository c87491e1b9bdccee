"""Scaled RoPE and Context Drop in a real server, over its API: they act, they draw, they say what is missing."""

import numpy as np

from lumina_next.tests.support.graphs import TextToImage

ROPE = {"factor": "area", "proportional_attention": False, "train_size": 32}
DROP = {"window": 2, "fade": "none", "pooling": "before_rope", "start_percent": 0.0, "end_percent": 1.0}


def sampled(client, *nodes: tuple[str, dict], **changes):
    """Run a prompt with the nodes between loader and sampler; returns the run and its picture."""
    graph = TextToImage()
    model = graph.model
    for name, inputs in nodes:
        model = graph.add(name, model=model, **inputs)
    run = client.run(graph.show(graph.sample(model=model, **changes)))
    assert run.status == "success", run.error
    return run, client.images(run)[0]


def test_each_node_acts_and_both_together_act_again(client):
    rope = ("LuminaNextScaledRope", {"method": "time_aware_watershed", "method.watershed": 0.4, **ROPE})
    drop = ("LuminaNextContextDrop", DROP)
    pictures = [sampled(client, *nodes)[1] for nodes in ((), (rope,), (drop,), (rope, drop))]
    assert len({picture.tobytes() for picture in pictures}) == 4
    assert np.array_equal(sampled(client, drop, rope)[1], pictures[3])


def test_the_readout_is_shown_on_the_node(client):
    run, _ = sampled(client, ("LuminaNextScaledRope", {"method": "interpolation", **ROPE}))
    (readout,) = client.images(run, "temp")
    assert readout.shape == (250, 360, 3) and readout.std() > 1


def test_at_the_training_size_nothing_changes(client):
    rope = ("LuminaNextScaledRope", {"method": "interpolation", **ROPE, "train_size": 64})
    assert np.array_equal(sampled(client, rope)[1], sampled(client)[1])


def test_a_model_that_does_not_tell_its_training_size_is_an_error_that_helps(client):
    graph = TextToImage()
    inputs = {"method": "time_aware", **ROPE, "train_size": 0}
    patched = graph.add("LuminaNextScaledRope", model=graph.model, **inputs)
    run = client.run(graph.show(graph.sample(model=patched)))
    assert run.status == "error" and "set train_size" in run.error
