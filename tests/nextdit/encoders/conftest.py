"""Small LLMs as folders, and what transformers makes of a prompt with them."""

import json
import shutil

import pytest
import torch
from transformers import AutoConfig, AutoModel, AutoModelForCausalLM, AutoTokenizer

from lumina_next.tests.support.untrained_text_encoder import write

SMALL = {
    "vocab_size": 260,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "pad_token_id": 0,
    "bos_token_id": 2,
    "eos_token_id": 1,
}


@pytest.fixture(scope="module")
def gemma(tmp_path_factory):
    return write(tmp_path_factory.mktemp("gemma"))


@pytest.fixture
def folder(gemma, tmp_path):
    """A copy that a test may break."""
    return shutil.copytree(gemma, tmp_path / "llm")


def reference(folder, model, prompts, **options):
    """transformers' own tokens and hidden states."""
    tokens = AutoTokenizer.from_pretrained(folder)(prompts, padding=True, padding_side="right", return_tensors="pt")
    with torch.no_grad():
        return tokens, model(**tokens, output_hidden_states=True, use_cache=False, **options).hidden_states


def edit(file, **changes):
    content = {**json.loads(file.read_text()), **changes}
    file.write_text(json.dumps({key: value for key, value in content.items() if value is not ...}))


PROMPTS = ["a red fox (running:1.2) in the snow", "", "👩‍🚀🏳️‍🌈 مرحبا بالعالم שלום עולם 你好，世界 naïve"]


@pytest.fixture(scope="module")
def boxed(tmp_path_factory):
    return write(tmp_path_factory.mktemp("boxed"))


def save(kind, folder, boxed, head=True, **settings):
    """Save a random LLM as transformers does; return the folder, or skip what this transformers does not have."""
    torch.manual_seed(0)
    try:
        config = AutoConfig.for_model(kind, **{**SMALL, **settings})
    except ValueError:
        pytest.skip(f"this transformers has no {kind}")
    model = (AutoModelForCausalLM if head else AutoModel).from_config(config).eval()
    for parameter in model.parameters():
        if parameter.dim() > 1:
            torch.nn.init.normal_(parameter, std=0.2)
    model.save_pretrained(folder)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(boxed / name, folder / name)
    return folder
