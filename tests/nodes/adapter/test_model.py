"""The native MODEL, in a real ComfyUI's modules: what it computes, how it loads, what it refuses."""

import pytest
import torch
from comfy.patcher_extension import WrappersMP

from lumina_next.nextdit import NextDiT, NextDiTConfig, load_model, save_model
from lumina_next.nodes.adapter.models import loading
from lumina_next.nodes.adapter.models.conditioning import text_conds
from lumina_next.tests.nodes.adapter.conftest import conditioning, sample


def sigmas_of(*values):
    return torch.tensor(values)


def denoise(patcher, x, sigma, text, mask=None, options=None):
    conds = text_conds(text, mask)
    with torch.no_grad():
        return patcher.model.apply_model(
            x,
            sigma,
            c_crossattn=conds["c_crossattn"].cond,
            attention_mask=conds["attention_mask"].cond,
            transformer_options=options or {},
        )


def test_denoised_is_x_plus_sigma_times_velocity(patcher, file):
    x, sigma = torch.randn(2, 4, 11, 14), sigmas_of(0.9, 0.3)
    text, mask = torch.randn(2, 5, 24), torch.tensor([[1, 1, 1, 1, 1], [1, 1, 0, 0, 0]])
    with torch.no_grad():
        velocity = load_model(file)(x, 1 - sigma, text, mask)
    expected = x + sigma[:, None, None, None] * velocity
    torch.testing.assert_close(denoise(patcher, x, sigma, text, mask), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("shift", [1.0, 4.0])
def test_both_of_cores_shift_nodes_give_the_same(patcher, shift):
    from comfy_extras.nodes_model_advanced import ModelSamplingAuraFlow, ModelSamplingSD3

    results = []
    for node in (ModelSamplingSD3, ModelSamplingAuraFlow):
        (patched,) = getattr(node(), node.FUNCTION)(patcher, shift)
        results.append(sample(patched))
    torch.testing.assert_close(results[0], results[1], atol=1e-5, rtol=1e-4)


def test_prompts_of_different_lengths_share_a_batch_and_change_nothing(patcher):
    batches = []

    def count(executor, x, *args, **kwargs):
        batches.append(x.shape[0])
        return executor(x, *args, **kwargs)

    together = patcher.clone()
    together.add_wrapper_with_key(WrappersMP.APPLY_MODEL, "test", count)
    both = sample(together)
    assert set(batches) == {2}
    x, sigma = torch.randn(1, 4, 12, 16), sigmas_of(0.7)
    short, long = (conditioning(n, n)[0][0] for n in (2, 6))
    padded = torch.cat([short, torch.full((1, 4, 24), 9.0)], dim=1)
    mask = torch.tensor([[1, 1, 0, 0, 0, 0], [1] * 6])
    batch = denoise(patcher, x.repeat(2, 1, 1, 1), sigma.repeat(2), torch.cat([padded, long]), mask)
    torch.testing.assert_close(batch[:1], denoise(patcher, x, sigma, short), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(batch[1:], denoise(patcher, x, sigma, long), atol=1e-5, rtol=1e-5)
    assert torch.isfinite(both).all()


def test_masks_follow_features_that_stock_nodes_lengthen_or_cut():
    longer = text_conds(torch.zeros(1, 7, 24), torch.tensor([[1, 1, 0]]))["attention_mask"].cond
    assert longer.tolist() == [[1, 1, 0, 1, 1, 1, 1]]
    shorter = text_conds(torch.zeros(1, 2, 24), torch.tensor([[1, 1, 0]]))["attention_mask"].cond
    assert shorter.tolist() == [[1, 1]]


def test_every_weight_can_be_patched_the_gate_too(patcher):
    before = sample(patcher)
    weights = {key: x for key, x in patcher.model.state_dict().items() if key.startswith("diffusion_model.")}
    weights.pop("diffusion_model.pad_token")  # takes no part in sampling
    for key in weights:
        patched = patcher.clone()
        assert patched.add_patches({key: ("diff", (torch.full_like(weights[key], 0.2),))}, 1.0) == [key]
        assert not torch.equal(sample(patched), before), key
    torch.testing.assert_close(sample(patcher), before, atol=0, rtol=0)


def test_an_attention_override_sees_ungrouped_keys(patcher):
    seen = []

    def override(func, q, k, v, heads, mask=None, **kwargs):
        seen.append((q.shape[1], k.shape[1], heads))
        return func(q, k, v, heads, mask=mask, **kwargs)

    x, sigma, text = torch.randn(1, 4, 8, 8), sigmas_of(0.5), torch.randn(1, 3, 24)
    out = denoise(patcher, x, sigma, text, options={"optimized_attention_override": override})
    torch.testing.assert_close(out, denoise(patcher, x, sigma, text), atol=1e-5, rtol=1e-5)
    assert seen == [(4, 4, 4)] * 4


@pytest.mark.parametrize("backend", ["attention_pytorch", "attention_sub_quad", "attention_split", "attention_basic"])
def test_cores_attention_backends_agree(patcher, backend, monkeypatch):
    from comfy.ldm.modules import attention

    x, sigma, text = torch.randn(2, 4, 8, 8), sigmas_of(0.5, 0.9), torch.randn(2, 3, 24)
    mask = torch.tensor([[1, 1, 1], [1, 0, 0]])
    expected = denoise(patcher, x, sigma, text, mask)
    monkeypatch.setattr(attention, "optimized_attention", getattr(attention, backend))
    torch.testing.assert_close(denoise(patcher, x, sigma, text, mask), expected, atol=1e-4, rtol=1e-4)


def test_blocks_can_be_replaced_by_other_nodes(patcher):
    x, sigma, text = torch.randn(1, 4, 8, 8), sigmas_of(0.5), torch.randn(1, 3, 24)
    plain = denoise(patcher, x, sigma, text)

    def replaced(patch):
        options = {"patches_replace": {"dit": {("double_block", 1): patch}}}
        return denoise(patcher, x, sigma, text, options=options)

    through = replaced(lambda args, extra: extra["original_block"](args))
    torch.testing.assert_close(through, plain)
    assert not torch.allclose(replaced(lambda args, extra: args), plain)


def test_cores_scale_rope_options_move_and_stretch_positions(patcher):
    x, sigma, text = torch.randn(1, 4, 8, 8), sigmas_of(0.5), torch.randn(1, 3, 24)
    plain = denoise(patcher, x, sigma, text)
    neutral = {"scale_x": 1.0, "scale_y": 1.0, "shift_x": 0.0, "shift_y": 0.0}
    torch.testing.assert_close(denoise(patcher, x, sigma, text, options={"rope_options": neutral}), plain)
    moved = denoise(patcher, x, sigma, text, options={"rope_options": neutral | {"shift_x": 100.0}})
    torch.testing.assert_close(moved, plain, atol=1e-3, rtol=1e-3)  # attention sees distances only, text none
    stretched = denoise(patcher, x, sigma, text, options={"rope_options": neutral | {"scale_y": 0.5}})
    assert not torch.allclose(stretched, plain, atol=1e-3)


def test_text_of_another_width(patcher):
    wrong = [[torch.randn(1, 4, 32), {}]]
    with pytest.raises(ValueError, match="features are 32 wide, but this Next-DiT takes 24; load the text encoder"):
        sample(patcher, positive=wrong)


def test_latents_with_the_wrong_channels_or_nan(patcher):
    with pytest.raises(ValueError, match="latent has 3 channels, but this Next-DiT takes 4"):
        sample(patcher, latent=torch.ones(1, 3, 12, 16))
    latent = torch.ones(1, 4, 12, 16)
    latent[0, 0, 0, 0] = float("nan")
    with pytest.raises(ValueError, match="latent contains NaN or infinite numbers"):
        sample(patcher, latent=latent)


@pytest.mark.parametrize("fill", [0.0, 1.0], ids=["empty", "full"])
@pytest.mark.parametrize("shape", [(4, 12, 16), (1, 4, 1, 12, 16), (1, 4, 3, 12, 16)])
def test_latents_of_another_number_of_dimensions(patcher, shape, fill):
    with pytest.raises(
        ValueError, match=rf"latent has {len(shape)} dimensions, \({shape[0]}, .*takes 4: batch, channels"
    ):
        sample(patcher, latent=torch.full(shape, fill))


@pytest.mark.parametrize("size", [(1, 1), (1, 16), (13, 1)])
def test_latents_of_one_row_or_column(tmp_path, size):
    config = NextDiTConfig(
        dim=32, n_layers=1, n_heads=2, n_kv_heads=1, text_dim=24, in_channels=3, out_channels=3, patch_size=4
    )
    save_model(NextDiT(config), tmp_path / "pixels.safetensors")
    patcher = loading.load(tmp_path / "pixels.safetensors")
    assert sample(patcher, latent=torch.zeros(1, 3, *size)).isfinite().all()


def test_three_channel_models_work_on_pixels(tmp_path):
    import comfy.latent_formats

    config = NextDiTConfig(
        dim=32, n_layers=1, n_heads=2, n_kv_heads=1, text_dim=24, in_channels=3, out_channels=3, patch_size=4
    )
    save_model(NextDiT(config), tmp_path / "pixels.safetensors")
    patcher = loading.load(tmp_path / "pixels.safetensors")
    assert isinstance(patcher.model.latent_format, comfy.latent_formats.ChromaRadiance)
    assert sample(patcher, latent=torch.zeros(1, 3, 30, 22)).shape == (1, 3, 30, 22)


def test_partial_offload_changes_nothing_with_patches_too(file):
    """Core's low-VRAM load, as far as a CPU shows it: most layers stay behind and are cast at use."""
    whole, partial = loading.load(file), loading.load(file)
    for patcher in (whole, partial):
        weights = patcher.model.state_dict()
        keys = ("diffusion_model.layers.0.attention.wq.weight", "diffusion_model.layers.1.attention.gate.norm.weight")
        patcher.add_patches({key: ("diff", (torch.full_like(weights[key], 0.1),)) for key in keys}, 1.0)
    whole.load(torch.device("cpu"), full_load=True)
    partial.load(torch.device("cpu"), lowvram_model_memory=20_000)
    left = [m for m in partial.model.modules() if getattr(m, "comfy_cast_weights", False)]
    assert 0 < len(left)
    x, sigma, text = torch.randn(1, 4, 8, 8), sigmas_of(0.5), torch.randn(1, 3, 24)
    torch.testing.assert_close(denoise(partial, x, sigma, text), denoise(whole, x, sigma, text))
    assert not torch.allclose(denoise(whole, x, sigma, text), denoise(loading.load(file), x, sigma, text))
