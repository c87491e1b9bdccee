"""A latent of no picture, clip, sound or cloud is refused by every family, by what it is."""

from dataclasses import fields

import pytest

from lumina_next.nextdit.audio_config import AudioConfig
from lumina_next.nextdit.config import PRESETS, NextDiTConfig
from lumina_next.nextdit.models.points import PointConfig
from lumina_next.nextdit.models.video import VideoConfig

IMAGE = PRESETS["600M"]
SHARED = {field.name: getattr(IMAGE, field.name) for field in fields(NextDiTConfig)}
CASES = {
    "image": (IMAGE, (4, 8, 8)),
    "video": (VideoConfig.of(IMAGE), (4, 3, 8, 8)),
    "audio": (AudioConfig(**SHARED | {"in_channels": 20, "out_channels": 20}), (20, 8)),
    "points": (PointConfig(dim=96, n_layers=1, n_heads=3, n_kv_heads=3, text_dim=64), (3, 9)),
}


@pytest.mark.parametrize("family", CASES)
def test_a_batch_of_none_is_named(family):
    config, shape = CASES[family]
    config.check_latent((1, *shape))
    with pytest.raises(ValueError, match=r"the latent is empty, \(0, .*: its batch is 0"):
        config.check_latent((0, *shape))
