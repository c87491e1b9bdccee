"""Models that the patch nodes can hook, each in turn."""

import pytest

from lumina_next.tests.support.patch_models import KINDS, load


@pytest.fixture(params=KINDS)
def model(request):
    return load(request.param)
