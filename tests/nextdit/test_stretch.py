"""Parts of the time of a sound or a clip."""

import pytest
import torch

from lumina_next.nextdit.stretch import Stretch


@pytest.mark.parametrize("fade", [0.0, 0.1, 0.4])
@pytest.mark.parametrize("frames", [1, 7, 64])
def test_stretches_that_meet_share_the_time(fade, frames):
    parts = [Stretch(0, 0.3, fade), Stretch(0.3, 0.75, fade), Stretch(0.75, 1, fade)]
    torch.testing.assert_close(sum(part.share(frames) for part in parts), torch.ones(frames))


def test_a_frame_has_the_part_of_it_that_is_within():
    assert Stretch(0.25, 1.0).share(2).tolist() == [0.5, 1.0]
    assert Stretch(0.0, 0.625).share(4).tolist() == [1.0, 1.0, 0.5, 0.0]
    assert Stretch().share(3).tolist() == [1.0, 1.0, 1.0]


def test_a_fade_is_linear_and_half_within():
    share = Stretch(0.5, 1.0, 0.5).share(400)
    assert share[100:300].diff().std() < 1e-5 and share[150] == pytest.approx(0.25, abs=0.01)
    assert share[:100].max() < 1e-6 and share[300:].min() > 1 - 1e-6
    assert Stretch(0.0, 0.5, 0.5).share(400)[0] == 1.0  # the beginning is none of its edges


@pytest.mark.parametrize("wrong", [(0.5, 0.5, 0), (0.6, 0.4, 0), (-0.1, 1, 0), (0, 1.1, 0), (0, 1, -1), (0, 1, 1.5)])
def test_what_is_no_stretch_is_refused(wrong):
    with pytest.raises(ValueError, match="begins before it ends"):
        Stretch(*wrong)


def test_not_a_number_is_refused():
    with pytest.raises(ValueError, match="got begins nan"):
        Stretch(float("nan"), 1.0)
