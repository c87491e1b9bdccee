"""Camera azimuths: the ring, the text they travel in, and what is refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lumina_next.nodes.conditioning.camera_ring import CameraRing
from lumina_next.nodes.drawing.cameras import azimuth_text, parse_azimuths, ring


@pytest.mark.parametrize("text", ["0,45, 90", " 0; 45;90 ;", "0 45\n90.0", "0°，45°、90°", "0；4.5e1, 90"])
def test_any_usual_separator(text):
    assert parse_azimuths(text) == (0.0, 45.0, 90.0)


@pytest.mark.parametrize(
    "text, says",
    [
        ("", "azimuths is empty; write one number of degrees a view"),
        (" , ;", "azimuths is empty"),
        ("0, left, 90", "'left', number 2, is no number of degrees"),
        ("0 1 nan", "'nan', number 3, is no number"),
        ("inf", "'inf', number 1"),
        ("0, 45.5.5", "'45.5.5', number 2"),
    ],
)
def test_the_bad_piece_is_named(text, says):
    with pytest.raises(ValueError, match=says):
        parse_azimuths(text)


@given(st.lists(st.integers(-7200, 7200).map(lambda n: n / 16), min_size=1))
def test_what_is_written_is_read(azimuths):
    assert parse_azimuths(azimuth_text(tuple(azimuths))) == tuple(azimuths)


def test_a_full_ring_does_not_come_back_to_its_beginning():
    assert ring(4) == (0.0, 90.0, 180.0, 270.0)
    assert ring(4, 45.0, clockwise=True) == (45.0, 315.0, 225.0, 135.0)
    assert len(set(ring(18))) == 18 and ring(18)[1] == 20.0
    assert ring(7)[1] == pytest.approx(360 / 7, abs=1e-4)


def test_an_arc_has_a_camera_at_both_ends():
    assert ring(3, -45.0, 90.0) == (315.0, 0.0, 45.0)
    assert ring(1, 30.0, 90.0) == ring(1, 30.0) == (30.0,)
    assert ring(2, 0.0, 0.0) == (0.0, 0.0)


@pytest.mark.parametrize("views, span", [(0, 360.0), (4, 361.0), (4, -1.0)])
def test_no_ring(views, span):
    with pytest.raises(ValueError, match="at least 1 view and a span of 0 to 360"):
        ring(views, span=span)


def test_the_node_gives_text_and_count():
    assert CameraRing.execute(3, 10.0, "clockwise", 360.0).result == ("10, 250, 130", 3)
    assert CameraRing.execute(2, 0.0, "counter-clockwise", 22.5).result == ("0, 22.5", 2)
