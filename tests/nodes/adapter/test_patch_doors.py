"""The doors of ComfyUI's own Lumina-Image-2.0 and Z-Image that the patch nodes go through; tells who moved one."""

import pytest
import torch
from comfy.ldm.flux.layers import EmbedND
from comfy.patcher_extension import WrappersMP

from lumina_next.nodes.adapter.host import core_attention
from lumina_next.tests.support.core_models import CORE
from lumina_next.tests.support.patch_models import load, sample, spied

MOVED = "ComfyUI moved a door. nodes/adapter/{} expects that {}; adapt it, and look at what else changed there."
ROPE, ATTENTION = "core_rope.py", "core_attention.py"
TEXT = {"lumina_image_2": 6, "z_image": 32}
IMAGE = {"lumina_image_2": 240, "z_image": 256}


def require(condition, file, expectation):
    assert condition, MOVED.format(file, expectation)


@pytest.fixture(params=CORE)
def kind(request):
    return request.param


def test_the_embedder_is_called_with_ids_of_text_and_image(kind):
    model, seen = load(kind), []
    plain = model.get_model_object("diffusion_model.rope_embedder")
    require(type(plain) is EmbedND, ROPE, "diffusion_model.rope_embedder is core's EmbedND")
    require(plain.axes_dim == CORE[kind]["axes_dims"], ROPE, "it has axes_dim")
    require(plain.theta == CORE[kind]["rope_theta"], ROPE, "it has theta")

    class Spy(torch.nn.Module):
        def forward(self, ids):
            seen.append((ids, plain(ids)))
            return seen[-1][1]

    patched = model.clone()
    patched.add_object_patch("diffusion_model.rope_embedder", Spy())
    sample(patched, steps=1, cfg=1.0)
    require(seen, ROPE, "the network calls what stands at diffusion_model.rope_embedder")
    ids = torch.cat([ids for ids, _ in seen], dim=1)
    text = TEXT[kind]
    require(ids.shape[1:] == (text + IMAGE[kind], 3), ROPE, "ids are (B, N, 3), text before image")
    require((ids[0, :text, 1:] == 0).all(), ROPE, "text has row and column 0")
    grid = ids[0, text : text + 240].reshape(12, 20, 3)
    rows, columns = torch.arange(12.0)[:, None].expand(12, 20), torch.arange(20.0).expand(12, 20)
    require(torch.equal(grid[..., 1], rows), ROPE, "the second axis counts rows")
    require(torch.equal(grid[..., 2], columns), ROPE, "the third axis counts columns")
    half = sum(CORE[kind]["axes_dims"]) // 2
    shapes = {table.shape[1:2] + table.shape[3:] for _, table in seen}
    require(shapes == {(1, half, 2, 2)}, ROPE, "the embedder returns (B, 1, N, head_dim / 2, 2, 2)")


def test_the_main_layers_say_who_they_are(kind):
    require(core_attention.main_layers_say_their_number(), ATTENTION, "the network sets block_type and block_index")
    model, seen = load(kind).clone(), []

    def override(func, q, k, v, heads, mask=None, **kwargs):
        options = kwargs["transformer_options"]
        seen.append((options.get("block_type"), options.get("block_index"), q.shape, k.shape, mask))
        return func(q, k, v, heads, mask=mask, **kwargs)

    model.model_options["transformer_options"]["optimized_attention_override"] = override
    sample(model, steps=1, cfg=1.0)
    require(seen, ATTENTION, "attention goes through optimized_attention_override")
    said = [call[:2] for call in seen]
    expected = [(None, None)] * 2 + [("double", i) for i in range(3)]
    require(said == expected, ATTENTION, 'main layers say block_type "double" and their block_index, refiners nothing')
    config, length = CORE[kind], TEXT[kind] + IMAGE[kind]
    shape = (1, config["n_heads"], length, config["dim"] // config["n_heads"])
    for _, _, q, k, mask in seen[2:]:
        require(q == shape and k == shape, ATTENTION, "q, k, v are (B, H, L, D), all heads, [text | image | padding]")
        require(mask is None, ATTENTION, "there is no mask")


def test_wrappers_get_what_they_need(kind):
    seen = {}

    def apply_model(executor, x, t, *args, **kwargs):
        seen["apply"] = (executor.class_obj.model_sampling.percent_to_sigma(0.0), x.shape, t.shape)

    def diffusion_model(executor, x, *args, **kwargs):
        network = executor.class_obj
        seen["diffusion"] = (network.patch_size, len(network.layers), x.shape, "transformer_options" in kwargs)

    model = spied(load(kind), WrappersMP.APPLY_MODEL, apply_model)
    sample(spied(model, WrappersMP.DIFFUSION_MODEL, diffusion_model), steps=1, cfg=1.0)
    require(seen.get("apply") == (1.0, (1, 16, 24, 40), (1,)), ROPE, "APPLY_MODEL wrappers get latent and sigma")
    expected = (2, 3, (1, 16, 24, 40), True)
    require(seen.get("diffusion") == expected, ATTENTION, "DIFFUSION_MODEL wrappers get network, latent and options")
