"""Classifier-free guidance, on all channels and on the first ones."""

import pytest
import torch

from lumina_next.samplers import guide

COND, UNCOND = torch.randn(2, 2, 4, 5, 3, generator=torch.Generator().manual_seed(0))


def test_all_channels():
    torch.testing.assert_close(guide(COND, UNCOND, 4.0), UNCOND + 4 * (COND - UNCOND))
    torch.testing.assert_close(guide(COND, UNCOND, 1.0), COND)
    torch.testing.assert_close(guide(COND, UNCOND, 0.0), UNCOND)


def test_three_channels_as_the_reference():
    out = guide(COND, UNCOND, 4.0, channels=3)
    torch.testing.assert_close(out[:, :3], guide(COND, UNCOND, 4.0)[:, :3])
    assert torch.equal(out[:, 3:], COND[:, 3:])
    assert torch.equal(guide(COND, UNCOND, 4.0, channels=4), guide(COND, UNCOND, 4.0))


@pytest.mark.parametrize("shape", [(1, 3), (2, 8, 50), (1, 4, 3, 8, 8)])
def test_any_number_of_axes(shape):
    out = guide(torch.ones(shape), torch.zeros(shape), 5.0, channels=2)
    assert (out[:, :2] == 5).all() and (out[:, 2:] == 1).all()


def test_bad_input():
    with pytest.raises(ValueError, match=r"one shape, got \(2, 4, 5, 3\) and \(2, 3, 5, 3\)"):
        guide(COND, UNCOND[:, :3], 4.0)
    for channels in (0, -1, 5):
        with pytest.raises(ValueError, match=f"between 1 and 4, the prediction's channels, got {channels}"):
            guide(COND, UNCOND, 4.0, channels)
