"""Checkpoints of several ranks: cut as tensor-parallel training cuts them, joined, refused where they do not fit."""

import re
from dataclasses import replace

import pytest
import torch
from safetensors.torch import save_file

from lumina_next.nextdit import load_model
from lumina_next.nextdit.checkpoint import describe, save_model
from lumina_next.nextdit.files import read_header, read_weights
from lumina_next.nextdit.layers.attend import sdpa
from lumina_next.nextdit.layers.attention import Attending, Attention
from lumina_next.nextdit.layers.rope import Axes
from lumina_next.nextdit.models.class_image import ClassConfig, ClassDiT
from lumina_next.nextdit.models.flag import FlagConfig, FlagDiT
from lumina_next.nextdit.ranks import axis_of
from lumina_next.tests.nextdit.conftest import randomise

TEXT = FlagConfig(dim=32, n_layers=1, n_heads=4, n_kv_heads=2, text_dim=12)
EXPERTS = ClassConfig(dim=32, n_layers=1, n_heads=4, n_kv_heads=4, classes=7, time_experts=2, space_experts=3)


def reference(model):
    return {key.replace("gate.norm.weight", "gate"): x.clone() for key, x in model.state_dict().items()}


def cut(weights, count):
    """A file's tensors for each rank, from the lists of the reference code's Column- and RowParallelLinear."""
    parts = [{} for _ in range(count)]
    for key, x in weights.items():
        axis = axis_of(key)
        for part, piece in zip(parts, [x] * count if axis is None else x.chunk(count, dim=axis), strict=True):
            part[key] = piece.clone()
    return parts


def write(folder, model, count=2, suffix=".pth"):
    folder.mkdir(exist_ok=True)
    for rank, part in enumerate(cut(reference(model), count)):
        file = folder / f"consolidated.{rank:02d}-of-{count:02d}{suffix}"
        torch.save(part, file) if suffix == ".pth" else save_file(part, file)
    return folder


@pytest.fixture(scope="module")
def flag():
    return randomise(FlagDiT(TEXT))


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_ranks_are_joined_from_a_folder_or_from_any_part(tmp_path, flag, suffix):
    folder = write(tmp_path / "Lumina-T2I", flag, suffix=suffix)
    for path in (folder, folder / f"consolidated.01-of-02{suffix}"):
        loaded = load_model(path)
        assert loaded.config.norm_groups == 2
        state = flag.state_dict()
        assert all(torch.equal(x, state[key]) for key, x in loaded.state_dict().items())
    assert describe(folder).config == loaded.config
    header = {key: shape for key, (_, shape) in read_header(folder).items()}
    assert header == {key: tuple(x.shape) for key, x in reference(flag).items()}


def test_mixtures_of_experts_and_classes_are_joined(tmp_path):
    model = randomise(ClassDiT(EXPERTS))
    joined = read_weights(write(tmp_path / "moe", model))
    assert all(torch.equal(x, joined[key]) for key, x in model.state_dict().items())


def test_joined_ranks_remember_their_norms_when_saved(tmp_path, flag):
    save_model(load_model(write(tmp_path / "ranks", flag)), tmp_path / "one.safetensors")
    assert load_model(tmp_path / "one.safetensors").config.norm_groups == 2


@torch.no_grad()
def test_joined_attention_is_the_sum_of_what_ranks_compute():
    whole = randomise(Attention(32, 4, 2, 0, True, 2, operations=torch.nn))
    x, axes = torch.randn(2, 6, 32), Axes((8,))
    rotary = axes.table([torch.arange(6)], [axes.exponents().neg().exp().float()])
    how, total = Attending(rotary, sdpa, sdpa), 0
    for part in cut({f"attention.{key}": value for key, value in whole.state_dict().items()}, 2):
        rank = Attention(32, 4, 2, 0, True, operations=torch.nn)  # then cut down to the heads that a rank has
        for name in ("wq", "wk", "wv", "wo", "q_norm", "k_norm"):
            layer = getattr(rank, name)
            for leaf, _ in list(layer.named_parameters()):
                setattr(layer, leaf, torch.nn.Parameter(part[f"attention.{name}.{leaf}"]))
            if hasattr(layer, "normalized_shape"):
                layer.normalized_shape = tuple(layer.weight.shape)
        total = total + rank(x, None, how)
    torch.testing.assert_close(whole(x, None, how), total, rtol=0, atol=1e-5)


def test_a_missing_rank_is_named_with_what_lies_beside_it(tmp_path, flag):
    folder = write(tmp_path / "ranks", flag)
    (folder / "consolidated.00-of-02.pth").rename(folder / "consolidated.00-of-04.pth")
    missing = r"one of 4 parts, of which 3 are missing: consolidated\.01-of-04.*another cut"
    with pytest.raises(FileNotFoundError, match=missing):
        load_model(folder / "consolidated.00-of-04.pth")
    with pytest.raises(FileNotFoundError, match=r"1 are missing: consolidated\.00-of-02\.pth"):
        load_model(folder / "consolidated.01-of-02.pth")


def test_a_rank_beyond_their_number_is_refused(tmp_path, flag):
    folder = write(tmp_path / "ranks", flag)
    (folder / "consolidated.01-of-02.pth").rename(folder / "consolidated.02-of-02.pth")
    with pytest.raises(ValueError, match="rank 2 of 2"):
        load_model(folder / "consolidated.02-of-02.pth")


def test_ranks_of_other_sizes_and_of_other_trainings_are_refused(tmp_path, flag):
    folder = write(tmp_path / "ranks", flag)
    file = folder / "consolidated.01-of-02.pth"
    part = torch.load(file)
    torch.save({**part, "eol_token": part["eol_token"] + 1}, file)
    with pytest.raises(ValueError, match="eol_token is the same in all parts .* of different trainings"):
        load_model(folder)
    torch.save({**part, "layers.0.attention.wq.weight": torch.zeros(8, 32)}, file)
    with pytest.raises(ValueError, match=r"not of the same model as consolidated\.00-of-02.*wq\.weight"):
        load_model(folder)
    torch.save({key: x for key, x in part.items() if "wo" not in key}, file)
    with pytest.raises(ValueError, match=re.escape("layers.0.attention.wo.weight is nothing there")):
        read_header(folder)


def test_a_rank_renamed_to_be_the_only_one_does_not_load(tmp_path, flag):
    folder = write(tmp_path / "ranks", flag)
    (folder / "consolidated.01-of-02.pth").rename(folder / "consolidated.00-of-01.pth")
    with pytest.raises(ValueError, match=r"keys have 8 rows, which is no whole number of heads of 16; .* one part of"):
        load_model(folder / "consolidated.00-of-01.pth")
    write(folder, randomise(FlagDiT(replace(TEXT, n_heads=8, n_kv_heads=8))))
    (folder / "consolidated.01-of-02.pth").rename(folder / "consolidated.00-of-01.pth")
    with pytest.raises(ValueError, match=r"wq\.weight has shape \(16, 32\), expected \(32, 32\).* may be one part of"):
        load_model(folder / "consolidated.00-of-01.pth")
