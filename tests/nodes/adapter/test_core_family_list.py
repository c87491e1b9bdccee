"""The list of core's families: nothing is missing from it, and every page and node names all of it."""

import re
from pathlib import Path

import comfy.ldm
import pytest

from lumina_next.nextdit.train_size import NATIVE
from lumina_next.nodes.adapter.host.core_families import FAMILIES
from lumina_next.nodes.model.context_drop import DropContext
from lumina_next.nodes.model.scaled_rope import ScaledRope

LEFT_OUT = {"wan.uni3c", "wan.model_wandancer"}
"""Modules with such an embedding that no family is of: a ControlNet, clips led by music."""


def test_every_network_of_cores_with_such_an_embedding_is_known():
    ldm = Path(comfy.ldm.__path__[0])
    known = {name.removeprefix("comfy.ldm.").rpartition(".")[0] for family in FAMILIES for name in family.networks}
    made = re.compile(r"= *\w*(EmbedND3?|RotaryPosEmbed)\(")
    found = {
        ".".join(file.relative_to(ldm).with_suffix("").parts)
        for file in ldm.rglob("*.py")
        if made.search(file.read_text("utf-8"))
    }
    assert len(found) > 8 and found - known <= LEFT_OUT


ROOT = Path(__file__).parents[3]
PAGES = [ROOT / f"web/docs/LuminaNextScaledRope{page}.md" for page in ("", "/zh", "/ja")]


@pytest.mark.parametrize("page", [*PAGES, ROOT / "docs/larger_sizes.md"], ids=lambda page: "/".join(page.parts[-2:]))
def test_a_page_names_every_family_and_its_size(page):
    lines = [line for line in page.read_text("utf-8").splitlines() if line.startswith(("|", "- "))]
    for key, published in NATIVE.items():
        name = published.name.removesuffix(" Image")
        assert any(name in line and str(published.pixels) in line for line in lines), key


@pytest.mark.parametrize("node,closed", [(ScaledRope, True), (DropContext, False)])
def test_the_nodes_say_which_families_they_know(node, closed):
    said = node.define_schema().description
    for family in FAMILIES:
        for name in family.name.replace(" and ", ", ").split(", "):
            assert (name in said) == (closed or not family.closed), name
