"""PEFT's adapter_config.json as a file: which kinds are refused, what cannot be read, and whose config it is."""

import json

import pytest
import torch
from safetensors.torch import save_file

from lumina_next.nextdit.lora.files import read_lora
from lumina_next.nextdit.lora.parts import UnreadFormat
from lumina_next.tests.nextdit.lora.test_config import W2, lora, write

OTHERS = ["OFT", "BOFT", "IA3", "VERA", "ADALORA", "HRA", "FOURIERFT", "LN_TUNING", "SOMETHING_NEW"]


@pytest.mark.parametrize("kind", OTHERS)
def test_other_adapters_of_peft_are_refused_by_name(tmp_path, kind):
    with pytest.raises(
        UnreadFormat, match=f"adapter_config.json says that it is PEFT's {kind}, expected one of LORA, LOHA, LOKR"
    ):
        read_lora(write(tmp_path, {"peft_type": kind, "r": 4}, {W2: lora(W2, 4)}))


@pytest.mark.parametrize(
    "option, says",
    [
        ({"init_lora_weights": "pissa_niter_16"}, "init_lora_weights = 'pissa_niter_16'"),
        ({"init_lora_weights": "olora"}, "init_lora_weights = 'olora'"),
        ({"alora_invocation_tokens": [1]}, "activated LoRA"),
        ({"use_qalora": True}, "QALoRA"),
        ({"layer_replication": [[0, 2]]}, "LoRA of replicated layers"),
        ({"kasa_config": {"beta": 1}}, "KaSA"),
    ],
)
def test_variants_that_change_what_the_tensors_mean_are_refused_by_name(tmp_path, option, says):
    with pytest.raises(UnreadFormat, match=f"adapter_config.json says .*{says}"):
        read_lora(write(tmp_path, {"peft_type": "LORA", "r": 4, **option}, {W2: lora(W2, 4)}))
    harmless = {"init_lora_weights": "gaussian", "alora_invocation_tokens": None, "use_qalora": False, "bias": "none"}
    assert read_lora(write(tmp_path, {"peft_type": "LORA", "r": 4, **harmless}, {W2: lora(W2, 4)}))[1].rank == 4


GOOD = json.dumps({"peft_type": "LORA", "r": 4, "lora_alpha": 12}, indent=2)


UNREADABLE = {
    "no JSON": (b"<html>404</html>", "is not valid JSON"),
    "empty": (b"", "is not valid JSON"),
    "cut off": (GOOD.encode()[:20], "is not valid JSON"),
    "too deep": (b"[" * 200_000, "is not valid JSON"),
    "a list": (b"[]", "holds a JSON list"),
    "a number": (b"4", "holds a JSON int"),
    "null": (b"null", "holds a JSON NoneType"),
    "UTF-16": (GOOD.encode("utf-16"), "is in UTF-16"),
    "UTF-16 without a mark": (GOOD.encode("utf-16-le"), "is in UTF-16"),
    "UTF-16, the other way": (GOOD.encode("utf-16-be"), "is in UTF-16"),
    "Latin-1": (b'{"r": 4, "base_model_name_or_path": "caf\xe9"}', "is in another encoding"),
}


@pytest.mark.parametrize("case", UNREADABLE)
def test_unreadable_configs_are_named(tmp_path, case):
    content, says = UNREADABLE[case]
    with pytest.raises(ValueError, match=f"adapter_config.json {says}.*expected PEFT's config of the adapter"):
        read_lora(write(tmp_path, content, {W2: lora(W2, 4)}))
    if case != "too deep":
        file = tmp_path / "diffusers.safetensors"
        (tmp_path / "adapter_config.json").unlink()
        text = content.decode("latin-1")
        save_file({f"transformer.{W2}.lora_A.weight": torch.ones(4, 48)}, file, {"lora_adapter_metadata": text})
        if not case.startswith(("UTF-16", "Latin")):
            with pytest.raises(ValueError, match=rf"lora_adapter_metadata\) {says}.*expected diffusers' config"):
                read_lora(file)


@pytest.mark.parametrize(
    "content", [GOOD.encode("utf-8-sig"), GOOD.replace("\n", "\r\n").encode(), b"\n" + GOOD.encode()]
)
def test_marks_and_line_ends_of_other_editors_are_read(tmp_path, content):
    assert read_lora(write(tmp_path, content, {W2: lora(W2, 4)}))[1].alpha == 12


def test_a_config_that_is_a_broken_link_is_named(tmp_path):
    file = write(tmp_path, None, {W2: lora(W2, 4)})
    (tmp_path / "adapter_config.json").symlink_to(tmp_path / "gone.json")
    with pytest.raises(FileNotFoundError, match="adapter_config.json does not exist .it is a link to .*gone.json"):
        read_lora(file)


def test_whose_config_it_is(tmp_path):
    """That of adapter_model, of the only weights in its folder, or of either through links; never another file's."""
    (tmp_path / "download").mkdir()
    config = {"peft_type": "LORA", "r": 4, "lora_alpha": 12}
    original = write(tmp_path / "download", config, {W2: lora(W2, 4)})
    hop, link = tmp_path / "hop.safetensors", tmp_path / "style.safetensors"
    hop.symlink_to("download/adapter_model.safetensors")
    link.symlink_to(hop)
    renamed = tmp_path / "mine" / "fox.safetensors"
    renamed.parent.mkdir()
    renamed.write_bytes(original.read_bytes())
    (renamed.parent / "adapter_config.json").write_text(json.dumps(config))
    assert [read_lora(file)[1].alpha for file in (original, hop, link, renamed)] == [12, 12, 12, 12]
    (renamed.parent / "other.safetensors").write_bytes(original.read_bytes())
    assert read_lora(renamed)[1] is None


def test_a_config_that_says_nothing_of_scales(tmp_path):
    for config in ({}, {"target_modules": ["wq"]}):
        assert read_lora(write(tmp_path, config, {W2: lora(W2, 4)}))[1] is None
    file = tmp_path / "text.safetensors"
    (tmp_path / "adapter_config.json").unlink()
    save_file(
        lora(W2, 4), file, {"lora_adapter_metadata": json.dumps({"text_encoder.r": 4, "text_encoder.lora_alpha": 9})}
    )
    assert read_lora(file)[1] is None
