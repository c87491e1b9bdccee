"""Pictures on nodes say in words what they show, and every node has words to be found by."""

import pytest
import torch

from lumina_next.nextdit.regions import grid_cell
from lumina_next.nodes import NODES
from lumina_next.nodes.adapter.host.schema import schema
from lumina_next.nodes.adapter.models.train_size import latent_size
from lumina_next.nodes.conditioning.grid_mask import GridMask
from lumina_next.nodes.drawing.cells import draw_cell
from lumina_next.nodes.drawing.curve import in_words


@pytest.mark.parametrize(
    "sigmas, says",
    [
        ([], "denoise 0: no steps, the latent stays as it is"),
        ([0.0], "denoise 0: no steps, the latent stays as it is"),
        ([1.0, 0.0], "1 step from 100% noise to the image"),
        ([1.0, 0.9, 0.8, 0.4, 0.0], "4 steps from 100% noise; after half of them 80% is left"),
        ([0.6, 0.3, 0.0], "2 steps from 60% noise; after half of them 30% is left"),
    ],
)
def test_a_schedule_in_words(sigmas, says):
    assert in_words(sigmas) == says


@pytest.mark.parametrize("rows, columns, size", [(1, 2, (64, 128)), (3, 1, (128, 8)), (2, 2, (512, 16))])
def test_a_cell_is_drawn_where_it_is(rows, columns, size):
    mask = grid_cell(rows, columns, rows - 1, columns - 1, *size)
    picture = draw_cell(mask, rows, columns, "caption")[0]
    assert picture.shape[1] == 320 and 0 <= picture.min() and picture.max() <= 1
    yellow = ((picture[..., 0] > 0.9) & (picture[..., 2] < 0.6)).nonzero().float()
    middle = 22 + (picture.shape[0] - 22) * (1 - 0.5 / rows)
    assert abs(yellow[:, 0].mean() - middle) < 4 and yellow[:, 1].mean() >= 160 - 1


@pytest.mark.parametrize(
    "latent, size",
    [
        ({"samples": torch.zeros(1, 4, 8, 16)}, (64, 128)),
        ({"samples": torch.zeros(2, 3, 48, 64)}, (48, 64)),
        ({"samples": torch.zeros(1, 4, 8, 16), "downscale_ratio_spacial": 8}, (64, 128)),
        ({"samples": torch.zeros(1, 128, 8, 16), "downscale_ratio_spacial": 16}, (128, 256)),
        ({"samples": torch.zeros(1, 16, 1, 8, 16)}, (64, 128)),
    ],
)
def test_a_grid_mask_of_a_latents_size(latent, size):
    assert latent_size(latent) == size
    mask = GridMask.execute(1, 2, 1, 1, 0.0, 1024, 512, latent=latent).result[0]
    assert mask.shape == (1, *size) and mask.mean() == 0.5


def test_every_node_has_words_to_be_found_by():
    for node in NODES:
        words = getattr(node.define_schema(), "search_aliases", ["a release without them"])
        assert words and len(set(words)) == len(words) and all(word == word.strip() for word in words), node


def test_only_what_newer_releases_know_may_be_left_out():
    with pytest.raises(TypeError, match="no_such_argument"):
        schema(node_id="x", no_such_argument=1)
