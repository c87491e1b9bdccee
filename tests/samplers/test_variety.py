import pytest
import torch

from lumina_next.samplers.variety import begin_on_colours, colours_of


def noise(*size: int) -> torch.Tensor:
    return torch.randn(size, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("size", [(200, 4, 16, 16), (200, 3, 5, 8, 8), (200, 2, 300)])
def test_colours_are_clipped_normal_numbers_of_each_channel(size):
    numbers = colours_of(noise(*size))
    assert numbers.shape == (*size[:2], *[1] * (len(size) - 2)) and numbers.abs().max() == 1
    inside = numbers[numbers.abs() < 1]
    assert len(inside) / numbers.numel() == pytest.approx(0.683, abs=0.06)  # within a standard deviation
    assert inside.mean() == pytest.approx(0, abs=0.08) and inside.std() == pytest.approx(0.54, abs=0.05)
    assert torch.equal(colours_of(noise(*size)[3:4]), numbers[3:4])  # nothing of the others of a batch


def test_a_start_is_the_flow_towards_an_even_colour():
    x = noise(2, 3, 8, 8)
    start = begin_on_colours(x, 0.1)
    torch.testing.assert_close(start, 0.9 * x + 0.1 * colours_of(x).expand_as(x))
    assert torch.equal(begin_on_colours(x, 0.0), x)
    assert begin_on_colours(x.half(), 0.1).dtype == torch.float16
