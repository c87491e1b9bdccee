"""Every layout, container and dtype that Next-DiT checkpoints come in, and every way in which they are broken."""

import json
import os

import pytest
import torch
from safetensors.torch import load_file, save_file

from lumina_next.nextdit import PRESETS, NextDiT, NextDiTConfig, load_model, save_model
from lumina_next.nextdit.families import PREFIXES, UnknownCheckpoint
from lumina_next.nextdit.files import read_header
from lumina_next.nextdit.infer import infer_config
from lumina_next.nextdit.keys import to_reference_keys

SMALL = NextDiTConfig(dim=64, n_layers=2, n_heads=4, n_kv_heads=2, text_dim=24, ffn_dim=96)


@pytest.fixture
def model():
    torch.manual_seed(0)
    model = NextDiT(SMALL)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    return model


@pytest.fixture
def reference(model):
    return to_reference_keys(model.state_dict())


def assert_same(loaded, model, exact=True):
    assert loaded.config == model.config
    for key, tensor in model.state_dict().items():
        got = loaded.state_dict()[key].float()
        assert torch.equal(got, tensor) if exact else torch.allclose(got, tensor, atol=0.05), key


def test_the_reference_layout_has_the_gate_bare(model, tmp_path):
    save_model(model, tmp_path / "m.safetensors", {"note": "x"})
    keys = load_file(tmp_path / "m.safetensors").keys()
    assert "layers.0.attention.gate" in keys and "pad_token" in keys
    assert_same(load_model(tmp_path / "m.safetensors"), model)
    assert os.listdir(tmp_path) == ["m.safetensors"]


@pytest.mark.parametrize("prefix", [*PREFIXES, "model.diffusion_model.module."])
def test_prefixes(model, reference, tmp_path, prefix):
    save_file({prefix + key: x for key, x in reference.items()}, tmp_path / "m.safetensors")
    assert_same(load_model(tmp_path / "m.safetensors"), model)


@pytest.mark.parametrize("wrapped", [False, True])
def test_pickles_of_tensors(model, reference, tmp_path, wrapped):
    torch.save({"state_dict": reference} if wrapped else reference, tmp_path / "consolidated.00-of-01.pth")
    assert_same(load_model(tmp_path / "consolidated.00-of-01.pth"), model)
    assert_same(load_model(tmp_path), model)  # the downloaded folder


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_stays(model, reference, tmp_path, dtype):
    save_file({key: x.to(dtype) for key, x in reference.items()}, tmp_path / "m.safetensors")
    loaded = load_model(tmp_path / "m.safetensors")
    assert loaded.x_embedder.weight.dtype is dtype
    assert_same(loaded, model, exact=False)
    assert load_model(tmp_path / "m.safetensors", dtype=torch.float32).x_embedder.weight.dtype is torch.float32


@pytest.mark.parametrize("dtype", [torch.float8_e4m3fn, torch.float8_e5m2])
def test_fp8_becomes_bfloat16(model, reference, tmp_path, dtype):
    save_file({key: x.to(dtype) for key, x in reference.items()}, tmp_path / "m.safetensors")
    loaded = load_model(tmp_path / "m.safetensors")
    assert loaded.x_embedder.weight.dtype is torch.bfloat16
    weight = model.x_embedder.weight
    assert torch.equal(loaded.x_embedder.weight, weight.to(dtype).to(torch.bfloat16))


@pytest.mark.parametrize("scale_name", ["scale_weight", "weight_scale"])
def test_scaled_fp8(model, reference, tmp_path, scale_name):
    key = "layers.0.attention.wq"
    scale = reference[f"{key}.weight"].abs().max() / 448
    reference[f"{key}.weight"] = (reference[f"{key}.weight"] / scale).to(torch.float8_e4m3fn)
    reference[f"{key}.{scale_name}"] = scale
    reference["scaled_fp8"] = torch.zeros(2, dtype=torch.float8_e4m3fn)
    save_file(reference, tmp_path / "m.safetensors")
    assert_same(load_model(tmp_path / "m.safetensors", dtype=torch.float32), model, exact=False)


def diffusers_weights(model):
    from lumina_next.nextdit.keys import DIFFUSERS

    weights = {}
    for key, tensor in to_reference_keys(model.state_dict()).items():
        if key == "pad_token":
            weights[key] = tensor
            continue
        parts = key.split(".")
        number = parts[1] if parts[0] == "layers" else None
        whole = key if key.endswith(".gate") else key.rpartition(".")[0]
        ours = whole.replace(f"layers.{number}.", "layers.#.")
        leaf = "" if key.endswith(".gate") else f".{parts[-1]}"
        for theirs in DIFFUSERS.get(ours, (ours,)):
            weights[theirs.replace("#", number or "") + leaf] = tensor.clone()
    return weights


def test_diffusers_file_folder_and_shards(model, tmp_path):
    weights = diffusers_weights(model)
    single = tmp_path / "single" / "transformer"
    single.mkdir(parents=True)
    save_file(weights, single / "diffusion_pytorch_model.safetensors")
    assert_same(load_model(single / "diffusion_pytorch_model.safetensors"), model)
    assert_same(load_model(single), model)
    assert_same(load_model(single.parent), model)

    sharded = tmp_path / "sharded" / "transformer"
    sharded.mkdir(parents=True)
    names = sorted(weights)
    where = {name: f"part-{i % 3}.safetensors" for i, name in enumerate(names)}
    for part in set(where.values()):
        save_file({name: weights[name] for name in names if where[name] == part}, sharded / part)
    index = sharded / "diffusion_pytorch_model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": where}))
    assert_same(load_model(sharded.parent), model)
    assert len(read_header(sharded.parent)) == len(weights)
    index.write_text(json.dumps({"weight_map": where}), encoding="utf-8-sig")
    assert_same(load_model(sharded.parent), model)

    (sharded / "part-1.safetensors").unlink()
    with pytest.raises(FileNotFoundError, match="lacks 1 of 3 shards: part-1.safetensors"):
        load_model(sharded.parent)
    index.write_text("[]")
    with pytest.raises(ValueError, match="holds a JSON list, expected a shard index"):
        load_model(sharded.parent)
    index.write_text(json.dumps({"weight_map": where}), encoding="utf-16")
    with pytest.raises(ValueError, match="is in UTF-16, expected a shard index in UTF-8"):
        load_model(sharded.parent)
    index.write_text("<html>")
    with pytest.raises(ValueError, match="is not valid JSON .*, expected a shard index"):
        load_model(sharded.parent)


def test_diffusers_query_copies_that_differ(model, tmp_path):
    weights = diffusers_weights(model)
    weights["layers.1.attn2.to_q.weight"] += 1
    save_file(weights, tmp_path / "m.safetensors")
    with pytest.raises(ValueError, match=r"two copies of layers.1.attention.wq.weight .* differ"):
        load_model(tmp_path / "m.safetensors")


@pytest.mark.parametrize("name", PRESETS)
def test_presets_are_read_off_the_shapes(name):
    shapes = {key: tuple(x.shape) for key, x in NextDiT(PRESETS[name], device="meta").state_dict().items()}
    assert infer_config(shapes) == PRESETS[name]


def test_the_2b_preset_has_the_published_size():
    count = sum(x.numel() for x in NextDiT(PRESETS["2B"], device="meta").state_dict().values())
    assert 1.6e9 < count < 2.1e9


@pytest.mark.parametrize("channels,patch", [(3, 2), (3, 4), (3, 8), (4, 2), (16, 2)])
@pytest.mark.parametrize("learn_sigma", [False, True])
def test_channels_and_patches_are_read_off_the_shapes(channels, patch, learn_sigma):
    config = NextDiTConfig(
        dim=32, n_layers=1, n_heads=2, n_kv_heads=1, text_dim=8, in_channels=channels, patch_size=patch,
        out_channels=channels * (1 + learn_sigma), qk_norm=learn_sigma,
    )  # fmt: skip
    shapes = {key: tuple(x.shape) for key, x in NextDiT(config, device="meta").state_dict().items()}
    assert infer_config(shapes) == config


@pytest.mark.parametrize(
    "change,message",
    [
        (lambda w: w.pop("layers.1.attention.wo.weight"), r"layers.1.attention.wo.weight is missing"),
        (lambda w: w.update(extra=torch.zeros(1)), r"extra is unexpected"),
        (
            lambda w: w.update({"layers.1.attention.wo.weight": torch.zeros(3, 5)}),
            r"layers.1.attention.wo.weight has shape \(3, 5\), expected \(64, 64\)",
        ),
        (lambda w: w.pop("x_embedder.weight"), "x_embedder.weight is missing, which tells the architecture"),
    ],
)
def test_missing_extra_and_misshapen_keys(reference, tmp_path, change, message):
    change(reference)
    save_file(reference, tmp_path / "broken.safetensors")
    with pytest.raises(ValueError, match=f"broken.safetensors.*{message}"):
        load_model(tmp_path / "broken.safetensors")


def test_at_most_ten_keys_are_named(reference, tmp_path):
    save_file(reference | {f"extra.{i}": torch.zeros(1) for i in range(14)}, tmp_path / "m.safetensors")
    with pytest.raises(ValueError) as error:
        load_model(tmp_path / "m.safetensors")
    assert str(error.value).count("is unexpected") == 10 and "and 4 more" in str(error.value)


def test_truncated_and_foreign_files(reference, tmp_path):
    save_file(reference, tmp_path / "whole.safetensors")
    data = (tmp_path / "whole.safetensors").read_bytes()
    (tmp_path / "cut.safetensors").write_bytes(data[: len(data) // 2])
    with pytest.raises(ValueError, match="cut.safetensors is not a whole safetensors file .* download it again"):
        load_model(tmp_path / "cut.safetensors")
    (tmp_path / "text.safetensors").write_text("<html>not found</html>")
    with pytest.raises(ValueError, match="is not a whole safetensors file"):
        load_model(tmp_path / "text.safetensors")
    (tmp_path / "cut.pth").write_bytes(b"PK\x03\x04 cut")
    with pytest.raises(ValueError, match="cut.pth"):
        load_model(tmp_path / "cut.pth")


class Payload:
    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return os.mkdir, (self.marker,)


def test_a_pickle_with_code_is_refused_and_not_run(tmp_path):
    marker = str(tmp_path / "was_run")
    torch.save({"w": Payload(marker)}, tmp_path / "evil.pth")
    with pytest.raises(ValueError, match="evil.pth was refused.*nothing was run"):
        load_model(tmp_path / "evil.pth")
    assert not os.path.exists(marker)


def test_a_pickle_of_something_else(tmp_path):
    torch.save([1, 2], tmp_path / "list.pth")
    with pytest.raises(ValueError, match="holds no state dict"):
        load_model(tmp_path / "list.pth")


@pytest.mark.parametrize(
    "key,message",
    [
        ("noise_refiner.0.attention.qkv.weight", "Lumina-Image-2.0 or Z-Image, which ComfyUI itself loads"),
        ("eol_token", "Flag-DiT"),
        ("y_embedder.embedding_table.weight", "class-conditional"),
        ("model.layers.0.self_attn.q_proj.weight", "a language model"),
        ("first_stage_model.decoder.conv_out.weight", "a VAE"),
        ("whatever.weight", "no model that this pack knows; .*whatever.weight"),
    ],
)
def test_other_architectures_are_named(tmp_path, key, message):
    save_file({key: torch.zeros(2)}, tmp_path / "m.safetensors")
    with pytest.raises(UnknownCheckpoint, match=message):
        load_model(tmp_path / "m.safetensors")


def test_missing_files_and_empty_folders(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"gone\.safetensors does not exist$"):
        load_model(tmp_path / "gone.safetensors")
    with pytest.raises(FileNotFoundError, match="has no network weights"):
        load_model(tmp_path)


@pytest.mark.parametrize(
    "change,message",
    [
        ({"dim": 66}, "dim 66 is not divisible by n_heads 4"),
        ({"n_kv_heads": 3}, "n_heads 4 is not divisible by n_kv_heads 3"),
        ({"dim": 24}, "head_dim .* to be 8, 12, 16, …, got 6"),
        ({"out_channels": 5}, "out_channels must be in_channels or twice that, got 5"),
        ({"n_layers": 0}, "n_layers must be a positive integer, got 0"),
    ],
)
def test_config_validation(change, message):
    with pytest.raises(ValueError, match=message):
        NextDiTConfig(**{"dim": 64, "n_layers": 1, "n_heads": 4, "n_kv_heads": 2, "text_dim": 8, **change})
