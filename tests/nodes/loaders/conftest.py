"""A small LLM in a folder."""

import pytest

from lumina_next.tests.support.untrained_text_encoder import write


@pytest.fixture(scope="module")
def llm(tmp_path_factory):
    return write(tmp_path_factory.mktemp("llm"), seed=3)
