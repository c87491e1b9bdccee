"""Saved links to workflows by their API names."""

from lumina_next.nodes.adapter.host import workflow_names
from lumina_next.tests.support.templates.catalogue import TITLES


def test_every_workflow_has_its_api_name():
    assert workflow_names.TITLES == TITLES


def test_nothing_is_registered_without_a_server():
    workflow_names.register()
