"""What goes into VRAM when ComfyUI manages it page by page, and what stays on the disk until it is needed."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from lumina_next.nodes.adapter.models import loading
from lumina_next.nodes.adapter.models.demo import DEMO
from lumina_next.nodes.adapter.text import clip
from lumina_next.tests.support.dynamic_vram import FILE_SLICE, GPU, dynamic_vram  # noqa: F401 - a fixture

MODEL = DEMO / "diffusion_models" / "lumina-next-demo.safetensors"
ENCODER = DEMO / "text_encoders" / "lumina-next-demo"


def in_file(weight):
    return hasattr(weight.untyped_storage(), FILE_SLICE)


@pytest.fixture
def encoder(dynamic_vram):  # noqa: F811
    loaded = clip.load_clip(ENCODER)
    assert loaded.patcher.is_dynamic()
    loaded.patcher.load(GPU)
    return loaded


def test_the_embedding_stays_where_it_is(encoder):
    table = encoder.cond_stage_model.transformer.embedding
    assert table.weight.device.type == "cpu" and in_file(table.weight)
    assert not [key for key in encoder.patcher.backup if "embed" in key]
    assert all(kept.weight.nbytes <= 16 * 1024 for kept in encoder.patcher.backup.values())  # what core calls tiny


def test_rows_are_looked_up_with_the_patches_that_core_leaves_to_layers(encoder):
    llm = encoder.cond_stage_model.transformer
    key = next(key for key in encoder.patcher.model_state_dict() if key.endswith("embed_tokens.weight"))
    plain = llm.table().float()
    change = torch.randn(plain.shape, generator=torch.Generator().manual_seed(0))
    encoder.patcher.add_patches({key: (change,)}, 0.5)
    encoder.patcher.load(GPU)
    assert torch.allclose(llm.table().float(), plain + 0.5 * change, atol=0.02)
    assert in_file(llm.embedding.weight)


@pytest.mark.parametrize("parts", [1, 3])
def test_weights_of_a_file_and_of_shards_are_read_from_the_disk(dynamic_vram, tmp_path, parts):  # noqa: F811
    weights = load_file(MODEL)
    where = {key: f"part-{n % parts}.safetensors" for n, key in enumerate(sorted(weights))}
    for part in set(where.values()):
        save_file({key: x for key, x in weights.items() if where[key] == part}, tmp_path / part, {"train_tokens": "9"})
    index = tmp_path / "diffusion_pytorch_model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": where}))
    model = loading.load(MODEL if parts == 1 else tmp_path)
    assert model.is_dynamic()
    network = model.model.diffusion_model
    assert all(in_file(x) for x in network.parameters())
    if parts > 1:
        assert network.train_tokens == 9
