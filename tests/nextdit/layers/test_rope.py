"""RoPE frequencies against the formulas, written out once more in float64."""

import math

import pytest
import torch

from lumina_next.nextdit import RopeScaling
from lumina_next.nextdit.layers.rope import Axes, rotate
from lumina_next.nextdit.layers.rope_scaling import METHODS, scale_factor

B = 10000.0
PAIRED = Axes((8, 8), interleaved=True)


def smooth_step(t, start, end):
    u = min(max((t - start) / (end - start), 0.0), 1.0)
    return u * u * (3 - 2 * u)


def formula(method, s, head_dim, t, axes, train_tokens=64, watershed=0.3, start=0.6, end=0.7):
    e = [2 * axes * i / head_dim for i in range(head_dim // (2 * axes))]
    if method == "extrapolation":
        return [B**-x for x in e]
    if method == "interpolation":
        return [B**-x / s for x in e]
    if method == "ntk_aware":
        return [(B * s ** (1 / e[-1])) ** -x for x in e]
    if method == "frequency_aware":
        wave = math.log(train_tokens / (2 * math.pi), B)
        return [max((B * s ** (1 / wave)) ** -x, B**-x / s) for x in e]
    if method == "time_aware":
        wave = ((head_dim - 1) * t + 1) / head_dim
        return [max((B * s ** (1 / wave)) ** -x, B**-x / s) for x in e]
    if method == "yarn":
        kept = [min(max((train_tokens / (2 * math.pi) * B**-x - 1) / 31, 0.0), 1.0) for x in e]
        return [B**-x * (share + (1 - share) / s) for x, share in zip(e, kept, strict=True)]
    if method == "auto":
        return formula("time_aware_late", s, head_dim, t, axes, train_tokens, start=start, end=end)
    if method == "time_aware_late":
        r = smooth_step(t, start, end)
        return [B**-x / s ** (1 - r * (1 - x / e[-1])) for x in e]
    return [B**-x / s for x in e] if t < watershed else [(B * s) ** -x for x in e]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("head_dim,axes", [(72, 2), (72, 3), (48, 2), (64, 2), (96, 3)])
@pytest.mark.parametrize("s", [1.0, 1.5, 2.0, 4.0])
def test_frequencies_equal_the_formulas(method, head_dim, axes, s):
    for t in (0.0, 0.2, 0.3, 0.65, 1.0):
        got = RopeScaling(method, s, return_from=0.6, return_to=0.7).frequencies(head_dim, t, axes=axes)
        expected = torch.tensor(formula(method, s, head_dim, t, axes), dtype=torch.float64)
        assert got.dtype is torch.float32
        torch.testing.assert_close(got.double(), expected, rtol=2e-6, atol=1e-6, msg=lambda m, t=t: f"at {t=}: {m}")


def test_auto_goes_by_the_family():
    chosen = {key: RopeScaling("auto", 2.0, key[1]).resolved(key[0]) for key in AUTO}
    assert {key: rope.method for key, (rope, _) in chosen.items()} == AUTO
    assert {key for key, (rope, _) in chosen.items() if rope.proportional} == SHARPENED
    assert all(choice.why for _, choice in chosen.values())
    assert RopeScaling("interpolation", 2.0).resolved("lumina_next") == (RopeScaling("interpolation", 2.0), None)
    assert "(this model has 128)" in chosen["z_image", 128][1].why  # networks with as many were not measured
    for tokens in (16, 64, 65, 128):
        t = torch.tensor([0.1, 0.85, 1.0])
        named = RopeScaling("auto", 2.0, tokens).resolved(None)[0]
        assert torch.equal(RopeScaling("auto", 2.0, tokens).frequencies(72, t), named.frequencies(72, t))


AUTO = {
    (None, 16): "time_aware_late",
    (None, 64): "time_aware_late",
    (None, 65): "time_aware_late",
    ("lumina_next", 64): "time_aware_watershed",
    ("lumina_image_2", 16): "time_aware_late",
    ("lumina_image_2", 64): "time_aware_late",
    ("z_image", 128): "time_aware_late",
    ("qwen_image", 83): "time_aware_late",
    ("audio", 16): "time_aware",
    ("audio", 128): "time_aware",
}
SHARPENED = {("lumina_next", 64), ("lumina_image_2", 16), ("lumina_image_2", 64)}


def test_yarns_temperature_is_its_papers():
    assert RopeScaling("yarn", 4.0).logit_scale(10_000) == 1.0
    for factor in (4.0, (1.0, 4.0)):
        scale = RopeScaling("yarn", factor, proportional=True).logit_scale(10_000)
        assert scale == pytest.approx((0.1 * math.log(4) + 1) ** 2)


def test_limits_of_the_time_aware_form():
    scaling = RopeScaling("time_aware", 2.0)
    plain = RopeScaling("extrapolation").frequencies(72)
    early = scaling.frequencies(72, 0.0)
    torch.testing.assert_close(early[1:], plain[1:] / 2)  # interpolation, but for the first, whose exponent is 0
    assert early[0] == 1.0
    late = scaling.frequencies(72, 1.0)  # base·s, never below interpolation
    torch.testing.assert_close(late, torch.maximum((B * 2.0) ** -Axes.shared(72, 2).exponents().float(), plain / 2))


def late(start, end, s=2.5):
    return RopeScaling("time_aware_late", s, return_from=start, return_to=end)


@pytest.mark.parametrize("head_dim,axes", [(72, 2), (48, 3)])
def test_limits_of_the_late_form(head_dim, axes):
    interpolation, ntk = (
        RopeScaling(method, 2.5).frequencies(head_dim, axes=axes) for method in ("interpolation", "ntk_aware")
    )

    def at(start, end, t):
        return late(start, end).frequencies(head_dim, t, axes=axes)

    for t in (0.0, 0.3, 0.6):
        torch.testing.assert_close(at(0.6, 0.7, t), interpolation, atol=1e-6, rtol=2e-6)  # the first frequency too
    for t in (0.7, 0.9, 1.0):
        torch.testing.assert_close(at(0.6, 0.7, t), ntk, atol=1e-6, rtol=2e-6)
    for t in (0.0, 0.5, 1.0):
        torch.testing.assert_close(at(1.0, 1.0, t), interpolation, atol=1e-6, rtol=2e-6)
        torch.testing.assert_close(at(0.0, 0.0, t), ntk, atol=1e-6, rtol=2e-6)
    for t, expected in ((0.49, interpolation), (0.5, ntk)):  # no ramp: a watershed
        torch.testing.assert_close(at(0.5, 0.5, t), expected, atol=1e-6, rtol=2e-6)


def test_the_late_form_returns_smoothly_and_highest_frequencies_furthest():
    times = torch.linspace(0, 1, 101)
    rows = late(0.4, 0.8).frequencies(72, times)
    assert (rows.diff(dim=0) >= -1e-7).all()
    assert rows.log().diff(dim=0).abs().max() < 0.05  # no jump: the whole way is ln 2.5 = 0.92 long
    gained = (rows[-1] / rows[0]).log()
    assert (gained.diff() < 1e-6).all() and gained[-1].abs() < 1e-6


def test_ntk_meets_interpolation_at_the_lowest_frequency():
    ntk, interpolation = (RopeScaling(m, 3.0).frequencies(72) for m in ("ntk_aware", "interpolation"))
    torch.testing.assert_close(ntk[-1], interpolation[-1])
    assert ntk[0] == 1.0


@pytest.mark.parametrize("method", METHODS)
def test_one_time_and_a_batch_of_times_agree(method):
    scaling = RopeScaling(method, 2.0)
    t = torch.tensor([0.0, 0.29, 0.75, 1.0])
    rows = scaling.frequencies(72, t)
    assert rows.shape == (4, 18)
    for row, one in zip(rows, t, strict=True):
        torch.testing.assert_close(row, scaling.frequencies(72, float(one)))


def test_a_factor_per_axis_and_factors_below_one():
    scaling = RopeScaling("interpolation", (2.0, 0.5))
    plain = RopeScaling("extrapolation").frequencies(48)
    torch.testing.assert_close(scaling.frequencies(48, axis=0), plain / 2)
    torch.testing.assert_close(scaling.frequencies(48, axis=1), plain)


def test_the_factor_of_a_grid():
    assert scale_factor((64, 64), 64) == scale_factor((16, 128), 64) == 1.0
    assert scale_factor((128, 128), 64) == 2.0
    assert scale_factor((32, 512), 64) == 2.0
    assert scale_factor((32, 512), 64, per_axis=True) == (1.0, 8.0)


def test_axes_of_their_own_width_and_base():
    axes = Axes((4, 8, 12), base=256.0)
    assert axes.exponents(1).tolist() == [0.0, 0.25, 0.5, 0.75]
    still, rows, _ = RopeScaling("interpolation", 2.0).thetas(axes, torch.zeros(()), still=1)
    torch.testing.assert_close(still, torch.tensor([1, 1 / 16]))
    torch.testing.assert_close(rows, torch.tensor([1, 1 / 4, 1 / 16, 1 / 64]) / 2)


def test_one_table_does_for_a_batch_unless_the_method_goes_by_time():
    t = torch.tensor([0.1, 0.9])
    for method in METHODS.values():
        theta = RopeScaling(method.name, 2.0).thetas(Axes.shared(16, 2), t)[0]
        assert theta.shape == ((2, 4) if method.by_time else (4,))


@pytest.mark.parametrize("widths,interleaved,message", [((3, 3), False, "even widths"), ((4, 8), True, "equal widths")])
def test_axes_that_cannot_be(widths, interleaved, message):
    with pytest.raises(ValueError, match=message):
        Axes(widths, interleaved=interleaved)


def test_rotation_alternates_rows_and_columns():
    theta = RopeScaling("extrapolation").frequencies(8)
    cos, sin = PAIRED.table((torch.arange(3), torch.arange(5)), (theta, theta))
    assert cos.shape == (1, 15, 4)
    angles = torch.atan2(sin, cos)[0].reshape(3, 5, 4)
    torch.testing.assert_close(angles[2, 1], torch.tensor([2.0, 1.0, 2 * 0.01, 0.01]))


def test_rotation_keeps_lengths_and_depends_on_distance_only():
    theta = RopeScaling("extrapolation").frequencies(16)
    table = PAIRED.table((torch.arange(4), torch.arange(4)), (theta, theta))
    q, k = torch.randn(2, 1, 1, 16).expand(2, 1, 16, 16).unbind(0)
    q, k = rotate(q[None], table), rotate(k[None], table)
    torch.testing.assert_close(q.norm(dim=-1), q.norm(dim=-1)[..., :1].expand(1, 1, 16))
    scores = (q @ k.transpose(-1, -2))[0, 0]
    torch.testing.assert_close(scores[0, 5], scores[5, 10])  # one down, one right
    torch.testing.assert_close(scores[2, 8], scores[6, 12])


def test_proportional_attention():
    assert RopeScaling("extrapolation").logit_scale(4096) == 1.0
    assert RopeScaling("extrapolation", proportional=True).logit_scale(64**2) == 1.0
    got = RopeScaling("extrapolation", proportional=True).logit_scale(128**2)
    assert got == pytest.approx(math.sqrt(math.log(128**2) / math.log(64**2)))


@pytest.mark.parametrize(
    "arguments,message",
    [
        ({"method": "dype"}, "unknown RoPE method 'dype'; known: extrapolation"),
        ({"factor": 0.0}, "positive finite number, got 0.0"),
        ({"factor": (1.0, float("nan"))}, "positive finite number"),
        ({"train_tokens": 6}, "at least 7"),
        ({"watershed": 1.5}, "watershed must be from 0 to 1, got 1.5"),
        ({"return_from": 0.9, "return_to": 0.5}, "got return_from 0.9 and return_to 0.5"),
        ({"return_to": 1.5}, "return_to must be from 0 to 1, got 1.5"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        RopeScaling(**arguments)


def test_a_head_dim_that_does_not_divide():
    with pytest.raises(ValueError, match="head_dim 64 is not divisible by 6, as 3-D RoPE needs"):
        Axes.shared(64, 3)
