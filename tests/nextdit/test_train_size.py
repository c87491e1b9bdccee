"""The one rule for a model's native size, and what lies within it."""

import math

import pytest

from lumina_next.nextdit.config import NextDiTConfig
from lumina_next.nextdit.models import image, multiview
from lumina_next.nextdit.models.multiview import MultiViewConfig
from lumina_next.nextdit.train_size import NATIVE, NativeSize, native_size, train_tokens


def test_what_is_asked_for_comes_before_the_file_and_the_file_before_the_family():
    assert native_size("lumina_next", 16, told=32, asked=2048) == NativeSize(128)
    assert native_size("lumina_next", 16, told=32) == NativeSize(32)
    assert native_size("lumina_next", 16) == NativeSize(64)
    assert native_size(None, 4, told=16) == NativeSize(16)


def test_the_sizes_that_makers_name():
    sides = {"lumina_next": 1024, "lumina_image_2": 1024, "z_image": 2048, "ming_image": 2048, "qwen_image": 1328}
    sides |= {"flux_1": 1408, "flux_2": 2048, "chroma": 1024, "krea_2": 2048, "omnigen_2": 1024, "hidream_i1": 1024}
    sides |= {"ernie_image": 1024, "wan": 960, "kandinsky_image": 1024, "qwen_image_21": 2048}
    sides |= {"mage_flow": 2048, "lens": 1440, "hunyuan_image": 2048, "hunyuan_video": 960, "boogu_image": 2048}
    sides |= {"lumina_t2i": 1024, "imagenet": 256, "flag_dit": 256}
    assert {key: family.pixels for key, family in NATIVE.items()} == sides
    assert all(family.source for family in NATIVE.values())
    assert {key for key, family in NATIVE.items() if not family.any_aspect} == {
        "lumina_next",
        "imagenet",
        "lumina_image_2",
        "ming_image",
        "mage_flow",
    }


def test_models_in_pixel_space_and_of_views_have_no_size_of_their_own():
    configs = [NextDiTConfig(64, 1, 4, 4, 8, in_channels=n, out_channels=n) for n in (3, 4, 16)]
    assert [image.FAMILY.native(config) for config in configs] == [None, "lumina_next", "lumina_next"]
    assert multiview.FAMILY.native(MultiViewConfig.of(configs[1])) is None
    with pytest.raises(ValueError, match="does not say on which image size .* set --train-size to that size"):
        native_size(None, 4, option="--train-size")
    with pytest.raises(ValueError, match="train_size is 24 pixels, which are 6 tokens of 4 pixels; .* at least 28 pix"):
        native_size(None, 4, asked=24)


@pytest.mark.parametrize("side", [(512, 512), (1024, 1024), (2048, 2048), (1536, 2720), (8192, 512), (16, 65536)])
def test_z_image_is_at_home_in_every_aspect_up_to_its_area(side):
    native = native_size("z_image", 16)
    grid = tuple(math.ceil(n / 16) for n in side)
    assert native.factor(grid) is None and native.factor(grid, per_axis=True) is None


@pytest.mark.parametrize(
    "family,sizes",
    [
        ("qwen_image_21", [(2048, 2048), (2400, 1792), (2528, 1696), (2752, 1536)]),
        ("qwen_image", [(1328, 1328), (1664, 928), (1472, 1104), (1584, 1056)]),
        ("ernie_image", [(1024, 1024), (1376, 768)]),
        ("hidream_i1", [(1024, 1024), (1360, 768)]),
        ("hunyuan_image", [(2048, 2048), (2560, 1536)]),
        ("kandinsky_image", [(1024, 1024), (1408, 640)]),
        ("wan", [(1280, 720)]),
    ],
)
def test_sizes_that_makers_name_are_native_though_their_sides_are_rounded_up(family, sizes):
    native = native_size(family, 16)
    for width, height in sizes:
        for grid in ((height // 16, width // 16), (width // 16, height // 16)):
            assert native.factor(grid) is None and native.factor(grid, per_axis=True) is None
    more = native.tokens + 2
    assert native.factor((more, more)) == more / native.tokens


def test_past_the_native_size_factors_count_from_its_end():
    native = native_size("z_image", 16)
    assert native.factor((192, 192)) == 1.5 and native.factor((192, 192), per_axis=True) == (1.5, 1.5)
    assert native.factor((128, 256)) == pytest.approx(2**0.5)
    assert native.factor((128, 256), per_axis=True) == (1.0, 2.0)
    square = native_size("lumina_next", 16)
    assert square.factor((32, 128)) is None and square.factor((32, 128), per_axis=True) == (1.0, 2.0)


@pytest.mark.parametrize("text", ["6", "64 px", "-3", "3.5", "", "٦٤", "²"])
def test_metadata_that_is_no_size(text):
    with pytest.raises(ValueError, match="expected a whole number of tokens per side, 7 or more"):
        train_tokens({"train_tokens": text})
    assert train_tokens({}) is train_tokens(None) is None and train_tokens({"train_tokens": "16"}) == 16
