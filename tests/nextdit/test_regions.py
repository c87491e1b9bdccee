"""Regional prompts against brute force: every layer's attention to the text computed token by token."""

import math
from functools import partial

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lumina_next.nextdit import NextDiT
from lumina_next.nextdit.call import Call
from lumina_next.nextdit.layers.attend import sdpa
from lumina_next.nextdit.regions import Region, Regions, grid_cell, to_tokens
from lumina_next.nextdit.span import Span

from .conftest import CONFIGS, randomise
from .models.test_image import inputs

LENGTHS = (3, 2, 4)  # the global prompt, two regions


def texts(config, batch=2, seed=5):
    g = torch.Generator().manual_seed(seed)
    text = torch.randn(batch, sum(LENGTHS), config.text_dim, generator=g)
    mask = torch.ones(batch, sum(LENGTHS), dtype=torch.long)
    mask[:, 2], mask[:, -1] = 0, 0  # padding in the global prompt and in the last region
    return text, mask


def token_by_token(q, k, v, mask, heard, spans):
    """What each token hears, from softmaxes over single texts: heard[token] lists a weight a text."""
    repeats = q.shape[1] // k.shape[1]
    k, v = k.repeat_interleave(repeats, 1), v.repeat_interleave(repeats, 1)
    out = torch.zeros_like(q)
    for b in range(q.shape[0]):
        for n in range(q.shape[2]):
            for weight, span in zip(heard[b][n], spans, strict=True):
                logits = (k[b, :, span] @ q[b, :, n, :, None]).squeeze(-1) / math.sqrt(q.shape[-1])
                logits = logits + mask[b, 0, 0, span]
                out[b, :, n] += weight * torch.einsum("hl,hld->hd", logits.softmax(-1), v[b, :, span])
    return out


def run(model, x, t, text, mask, regions, masks):
    weights = regions.weights(masks, t, model.config.patch_size)
    return model.velocity(x, t, text, mask, Call(cross=regions.cross(weights, sdpa), pooled=regions.pooled(text, mask)))


@torch.no_grad()
def test_equals_brute_force_with_soft_overlapping_partial_and_timed_regions(twins, config):
    model, _ = twins
    x, _, _, _ = inputs(config, batch=2, size=(5, 6))  # 3 × 3 tokens, the last row half padding
    t = torch.tensor([0.2, 0.7])
    text, mask = texts(config)
    masks = torch.rand(2, 2, 5, 6, generator=torch.Generator().manual_seed(9))
    regions = Regions(3, (Region(2, 1.5, 0.25), Region(4, 0.8, 0.0, Span(0.0, 0.5))))
    heard = []
    for b, time in enumerate(t.tolist()):
        rows = []
        for row in range(3):
            for column in range(3):
                part = masks[b, :, 2 * row : 2 * row + 2, 2 * column : 2 * column + 2].mean((-1, -2)).tolist()
                first, second = 1.5 * part[0], 0.8 * part[1] if time < 0.5 else 0.0
                whole = max(1.0, first + second)
                first, second = 0.75 * first / whole, second / whole
                rows.append([1 - first - second, first, second])
        heard.append(rows)
    spans = [slice(0, 3), slice(3, 5), slice(5, 9)]
    expected = model.velocity(
        x,
        t,
        text,
        mask,
        Call(
            cross=partial(token_by_token, heard=heard, spans=spans),
            pooled=text[:, :2].mean(1),  # the third token of the global prompt is padding
        ),
    )
    got = run(model, x, t, text, mask, regions, masks)
    assert (got - expected).abs().max() <= 1e-5 * expected.abs().max()


def golden_reference(q, k, v, mask, cells, spans):
    """The official demo's rule from its description: one softmax a region under hard masks, NaN for nobody's tokens."""
    repeats = q.shape[1] // k.shape[1]
    k, v = k.repeat_interleave(repeats, 1), v.repeat_interleave(repeats, 1)
    out = torch.zeros_like(q)
    for cell, span in zip(cells, spans, strict=True):
        allowed = cell[None, None, :, None] & (mask[:, :, :, span] == 0)
        logits = torch.einsum("bhnd,bhld->bhnl", q, k[:, :, span]) / math.sqrt(q.shape[-1])
        attention = logits.masked_fill(~allowed, -math.inf).softmax(-1)
        out = out + torch.nan_to_num(attention @ v[:, :, span])
    return out


@torch.no_grad()
def test_reference_maths_on_its_grid_without_its_mixed_up_cells(twins, config):
    model, _ = twins
    x, t, _, _ = inputs(config, batch=2, size=(8, 12))  # 4 × 6 tokens
    text = torch.randn(2, 3 + 4 * 2, config.text_dim, generator=torch.Generator().manual_seed(2))
    mask = torch.ones(2, 11, dtype=torch.long)
    spans = [slice(start, start + 2) for start in (3, 5, 7, 9)]
    cells = []
    for number in range(4):  # number = row · columns + column, where the official code takes (row + 1)(column + 1) − 1
        cell = torch.zeros(4, 6, dtype=torch.bool)
        row, column = divmod(number, 2)
        cell[2 * row : 2 * row + 2, 3 * column : 3 * column + 3] = True
        cells.append(cell.flatten())
    expected = model.velocity(
        x, t, text, mask, Call(cross=partial(golden_reference, cells=cells, spans=spans), pooled=text[:, :3].mean(1))
    )
    masks = torch.stack([grid_cell(2, 2, *divmod(number, 2), 8, 12) for number in range(4)])[None]
    got = run(model, x, t, text, mask, Regions(3, (Region(2),) * 4, summed=True), masks)
    assert (got - expected).abs().max() <= 1e-5 * expected.abs().max()


@torch.no_grad()
def test_reference_maths_adds_overlaps_and_leaves_other_tokens_without_text(twins, config):
    model, _ = twins
    x, t, _, _ = inputs(config, batch=2, size=(8, 8))
    text, mask = texts(config)
    cells = torch.zeros(2, 4, 4, dtype=torch.bool)
    cells[0, :3], cells[1, 2] = True, True  # both hold the third row, none the fourth
    spans = [slice(3, 5), slice(5, 9)]
    cross = partial(golden_reference, cells=cells.flatten(1), spans=spans)
    expected = model.velocity(x, t[:2], text, mask, Call(cross=cross, pooled=text[:, :2].mean(1)))
    masks = cells.float().repeat_interleave(2, 1).repeat_interleave(2, 2)[None]
    got = run(model, x, t[:2], text, mask, Regions(3, (Region(2), Region(4)), summed=True), masks)
    assert (got - expected).abs().max() <= 1e-5 * expected.abs().max()


@torch.no_grad()
def test_regions_that_say_what_the_global_prompt_says_change_nothing(twins, config):
    model, _ = twins
    x, t, text, mask = inputs(config, batch=2)
    both = torch.cat([text, text, text], 1), torch.cat([mask, mask, mask], 1)
    regions = Regions(7, (Region(7), Region(7, 3.0, 0.5)))
    masks = torch.rand(1, 2, *x.shape[-2:], generator=torch.Generator().manual_seed(1))
    expected = model(x, t, text, mask)
    assert (run(model, x, t, *both, regions, masks) - expected).abs().max() <= 2e-5 * expected.abs().max()


def halves():
    """Two regions side by side on 4 × 4 tokens of 2 pixels, and their masks."""
    masks = torch.zeros(1, 2, 8, 8)
    masks[:, 0, :, :4], masks[:, 1, :, 4:] = 1.0, 1.0
    return Regions(3, (Region(2), Region(4))), masks


def test_tokens_of_one_region_do_not_attend_to_the_text_of_another():
    regions, masks = halves()
    attend = regions.cross(regions.weights(masks, torch.tensor([0.3]), 2), sdpa)
    q, k, v = torch.randn(1, 4, 16, 8), torch.randn(1, 2, 9, 8), torch.randn(1, 2, 9, 8)
    changed = v.clone()
    changed[:, :, 5:] += 1.0  # the second region's text
    difference = (attend(q, k, changed) - attend(q, k, v)).abs().amax((0, 1, 3)).reshape(4, 4)
    assert difference[:, :2].max() == 0.0 and difference[:, 2:].min() > 0.0


@torch.no_grad()
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32], ids=["bfloat16", "float32"])
def test_masks_of_texts_of_any_length_begin_where_every_kernel_takes_them(dtype):
    """On an H100, cuDNN stopped at a mask cut from the middle of another: "mha_graph.execute(…).is_good()"."""
    begins = []

    def attend(q, k, v, mask=None):
        begins.append(mask.data_ptr() % 16)
        return torch.zeros_like(q)

    lengths = (3, 5, 1, 7)
    q, keys = torch.zeros(2, 4, 6, 8, dtype=dtype), torch.zeros(2, 2, sum(lengths), 8, dtype=dtype)
    regions = Regions(lengths[0], tuple(Region(length) for length in lengths[1:]))
    weights = regions.weights(torch.ones(1, 3, 2, 3), torch.zeros(2), 1)
    regions.cross(weights, attend)(q, keys, keys, torch.zeros(2, 1, 1, sum(lengths), dtype=dtype))
    assert begins == [0, 0, 0, 0]


def test_self_attention_stays_global():
    model = randomise(NextDiT(CONFIGS["grouped"]))
    x, t, _, _ = inputs(model.config, batch=1, size=(8, 8))
    text, mask = texts(model.config, batch=1)
    other = text.clone()
    other[:, 5:] += 1.0
    moved = run(model, x, t, other, mask, *halves()) - run(model, x, t, text, mask, *halves())
    assert moved[..., :4].abs().max() > 0.0


@given(st.integers(1, 5), st.integers(1, 9), st.integers(1, 9), st.integers(1, 3), st.integers(0, 2**20))
def test_weights_add_up_to_one(count, height, width, patch, seed):
    g = torch.Generator().manual_seed(seed)
    masks = torch.rand(2, count, height, width, generator=g) * (torch.rand(2, count, 1, 1, generator=g) > 0.3)
    strengths = (3 * torch.rand(count, generator=g)).tolist()
    ends = [min(s, 1.0) for s in strengths]
    spans = [Span(max(0.0, end - 0.5), end) for end in ends]
    regions = Regions(2, tuple(Region(1, s, (s * 7) % 1.0, span) for s, span in zip(strengths, spans, strict=True)))
    weights = regions.weights(masks, torch.tensor([0.4, 0.9]), patch)
    assert weights.shape == (2, 1 + count, math.ceil(height / patch) * math.ceil(width / patch))
    assert weights.min() >= -1e-6
    torch.testing.assert_close(weights.sum(1), torch.ones_like(weights[:, 0]))


def test_tokens_average_their_own_pixels_and_no_padding():
    masks = torch.arange(15.0).reshape(1, 1, 3, 5)
    expected = [(0 + 1 + 5 + 6) / 4, (2 + 3 + 7 + 8) / 4, (4 + 9) / 2, (10 + 11) / 2, (12 + 13) / 2, 14]
    assert to_tokens(masks, 2).flatten().tolist() == expected


@given(st.integers(1, 6), st.integers(1, 6), st.integers(6, 40), st.integers(6, 40), st.floats(0, 1))
def test_the_cells_of_a_grid_add_up_to_one(rows, columns, height, width, feather):
    cells = [grid_cell(rows, columns, r, c, height, width, feather) for r in range(rows) for c in range(columns)]
    assert min(cell.min() for cell in cells) >= -1e-6
    torch.testing.assert_close(torch.stack(cells).sum(0), torch.ones(height, width), atol=1e-4, rtol=0)


def test_a_cell_is_where_its_row_and_column_are():
    assert grid_cell(2, 3, 1, 0, 4, 6).tolist() == [[0] * 6, [0] * 6, [1, 1, 0, 0, 0, 0], [1, 1, 0, 0, 0, 0]]
    soft = grid_cell(1, 2, 0, 0, 1, 8, 1.0)[0]
    torch.testing.assert_close(soft, torch.tensor([1.0, 1.0, 0.875, 0.625, 0.375, 0.125, 0.0, 0.0]))


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: Region(0), "at least 1 text token"),
        (lambda: Region(3, -1.0), "strength of at least 0"),
        (lambda: Region(3, 1.0, 1.5), "global_weight between 0 and 1"),
        (lambda: Region(3, span=Span(0.5, 0.4)), "0 <= start <= end <= 1, got start 0.5 and end 0.4"),
        (lambda: Regions(3, (Region(2, 1.0, 0.5),), summed=True), "set every global_weight to 0"),
        (lambda: grid_cell(2, 2, 2, 0, 8, 8), "row 3, column 1 is outside"),
        (lambda: grid_cell(9, 2, 0, 0, 8, 8), "too few"),
        (lambda: grid_cell(2, 2, 0, 0, 8, 8, 2.0), "feather"),
    ],
)
def test_values_out_of_range_are_refused(make, says):
    with pytest.raises(ValueError, match=says):
        make()


def test_masks_of_a_sound_and_of_a_clip_are_averaged_over_their_tokens():
    sound = torch.tensor([1.0, 0.0, 1.0, 1.0, 0.5])
    assert to_tokens(sound[None, None], 2).flatten().tolist() == [0.5, 1.0, 0.5]
    clip = torch.rand(1, 2, 3, 5, 6)
    frames = [to_tokens(clip[:, :, n], 2) for n in range(3)]
    torch.testing.assert_close(to_tokens(clip, 2), torch.cat(frames, dim=2))
