import pytest

from lumina_next.benchmarks.shared.truth import Truth
from lumina_next.tests.support import untrained_model, untrained_text_encoder


@pytest.fixture(scope="session")
def truth():
    return Truth()


@pytest.fixture
def checkpoint(tmp_path):
    """The options that make a benchmark measure a small untrained checkpoint in one step and write to tmp_path."""
    untrained_model.write(tmp_path / "model.safetensors")
    encoder = untrained_text_encoder.write(tmp_path / "text_encoder")
    found = ["--model", str(tmp_path / "model.safetensors"), "--text-encoder", str(encoder), "--steps", "1"]
    return [*found, "--results", str(tmp_path), "--pictures", str(tmp_path)]
