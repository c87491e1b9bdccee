"""The multi-view network under torch.compile."""

import pytest
import torch

from lumina_next.nextdit import (
    RopeScaling,
)
from lumina_next.tests.nextdit.models.test_multiview import DROPPED, inputs, make


@torch.no_grad()
@pytest.mark.parametrize("rope_axes", [2, 3])
@pytest.mark.parametrize("method", [None, "time_aware_late"])
def test_compiles_without_a_graph_break(rope_axes, method):
    torch._dynamo.reset()
    model = make(rope_axes)
    rope = method and RopeScaling(method, 2.0)
    x, t, azimuth, text, mask, image = inputs(2)
    compiled = torch.compile(model, backend="eager", fullgraph=True)
    for more in ({}, {"image": image}, {"image": image, "drop": DROPPED}):
        expected = model(x, t, azimuth, text, mask, rope=rope, **more)
        out = compiled(x, t, azimuth, text, mask, rope=rope, **more)
        torch.testing.assert_close(out, expected, rtol=0, atol=1e-4)


def test_compiled_layers_are_compiled_once_for_all_calls():
    torch._dynamo.reset()
    model, graphs = make(), []

    def count(graph, _):
        graphs.append(graph)
        return graph.forward

    for layer in model.layers:
        layer.compile(backend=count, dynamic=False)
    x, t, azimuth, text, mask, image = inputs(2)
    for _ in range(3):
        model(x, t, azimuth, text, mask, image=image)
    assert len(graphs) == 1
