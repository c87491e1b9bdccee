"""What ComfyUI saves comes back the same: models, checkpoints, LoRAs, fp8."""

import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import MixtralConfig, MixtralForCausalLM

from lumina_next.nextdit.files import read_metadata
from lumina_next.tests.support.checkpoints import write_lora
from lumina_next.tests.support.graphs import MODEL, TEXT_ENCODER, Graph, TextToImage


def picture(client, graph) -> np.ndarray:
    return client.images(client.run(graph))[0]


def plain(**changes) -> TextToImage:
    graph = TextToImage()
    return graph.show(graph.sample(**changes))


def difference(a: np.ndarray, b: np.ndarray) -> int:
    return int(np.abs(a.astype(int) - b.astype(int)).max())


def keep(server, client, graph, prefix: str, kind: str) -> str:
    """Run a graph that saves a file under a prefix, move the file to a models folder, return its name there."""
    run = client.run(graph)
    assert run.status == "success", run.error
    (saved,) = (server.base / "output").glob(f"{prefix}_*.safetensors")
    target = server.base / "models" / kind / saved.name
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.move(saved, target)
    return target.name


def test_model_save_and_load_diffusion_model(server, client):
    graph = TextToImage()
    graph.add("ModelSave", model=graph.model, filename_prefix="saved_model")
    name = keep(server, client, graph, "saved_model", "diffusion_models")

    graph = TextToImage()
    core = graph.add("UNETLoader", unet_name=name, weight_dtype="default")
    assert np.array_equal(picture(client, graph.show(graph.sample(model=core))), picture(client, plain()))
    graph = TextToImage(model_name=name)
    assert np.array_equal(picture(client, graph.show(graph.sample())), picture(client, plain()))


def test_checkpoint_save_and_load_checkpoint(server, client):
    graph = TextToImage()
    graph.add("CheckpointSave", model=graph.model, clip=graph.clip, vae=graph.vae, filename_prefix="saved_checkpoint")
    name = keep(server, client, graph, "saved_checkpoint", "checkpoints")

    graph = TextToImage()
    loaded = graph.add("CheckpointLoaderSimple", ckpt_name=name)
    graph.clip = [loaded[0], 1]
    positive, negative = graph.encode("a red fox in the snow"), graph.encode("")
    image = picture(client, graph.show(graph.sample(model=loaded, positive=positive, negative=negative)))
    assert difference(image, picture(client, plain())) <= 3


@pytest.mark.parametrize("naming", ["kohya", "diffusion_model"])
def test_stock_lora_loader(server, client, naming):
    write_lora(server.base / f"models/loras/{naming}.safetensors", naming)

    def with_lora(strength: float) -> np.ndarray:
        graph = TextToImage()
        inputs = {"model": graph.model, "lora_name": f"{naming}.safetensors", "strength_model": strength}
        return picture(client, graph.show(graph.sample(model=graph.add("LoraLoaderModelOnly", **inputs))))

    base = picture(client, plain())
    assert difference(with_lora(1.0), base) > 2
    assert np.array_equal(with_lora(0.0), base)
    assert "lora key not loaded" not in server.log(30)
    # The patch leaves with the node: the model in memory is the same one.
    assert np.array_equal(picture(client, plain(seed=1)), base)


def test_our_lora_loader_reads_what_the_stock_one_skips(server, client):
    for naming in ("peft", "kohya"):
        write_lora(server.base / f"models/loras/{naming}.safetensors", naming, seed=8)

    def with_lora(node: str, **inputs) -> np.ndarray:
        graph = TextToImage()
        return picture(client, graph.show(graph.sample(model=graph.add(node, model=graph.model, **inputs))))

    ours = {"strength": 1.0, "unmatched": "error"}
    image = with_lora("LuminaNextLoadLora", lora_name="peft.safetensors", **ours)
    assert np.array_equal(image, with_lora("LuminaNextLoadLora", lora_name="kohya.safetensors", **ours))
    stock = {"lora_name": "kohya.safetensors", "strength_model": 1.0}
    assert np.array_equal(image, with_lora("LoraLoaderModelOnly", **stock))
    skipped = with_lora("LoraLoaderModelOnly", lora_name="peft.safetensors", strength_model=1.0)
    assert np.array_equal(skipped, picture(client, plain())) and difference(image, skipped) > 2


def test_a_lora_is_saved_with_the_model(server, client):
    write_lora(server.base / "models/loras/baked.safetensors", "diffusion_model", seed=4)
    graph = TextToImage()
    inputs = {"model": graph.model, "lora_name": "baked.safetensors", "strength_model": 1.0}
    patched = graph.add("LoraLoaderModelOnly", **inputs)
    expected = picture(client, graph.show(graph.sample(model=patched)))
    graph = TextToImage()
    patched = graph.add("LoraLoaderModelOnly", **inputs)
    graph.add("ModelSave", model=patched, filename_prefix="with_lora")
    name = keep(server, client, graph, "with_lora", "diffusion_models")
    graph = TextToImage(model_name=name)
    image = picture(client, graph.show(graph.sample()))
    # bfloat16 rounding of the merged weights, on both sides but not at the same place
    assert np.abs(image.astype(int) - expected).mean() < 2


@pytest.mark.parametrize("weight_dtype", ["fp8_e4m3fn", "fp8_e4m3fn_fast", "fp8_e5m2"])
def test_fp8_weights(client, weight_dtype):
    graph = TextToImage(weight_dtype=weight_dtype)
    image = picture(client, graph.show(graph.sample()))
    base = picture(client, plain())
    assert image.std() > 1 and 0 < np.abs(image.astype(int) - base).mean() < 40


def test_fp8_text_encoder(client):
    graph = TextToImage()
    graph.clip = graph.load_text_encoder(weight_dtype="fp8_e4m3fn")
    positive, negative = graph.encode("a red fox in the snow"), graph.encode("")
    image = picture(client, graph.show(graph.sample(positive=positive, negative=negative)))
    assert image.std() > 1
    assert not np.array_equal(image, picture(client, plain()))


def test_clip_save_and_load_llm_text_encoder(server, client):
    graph = Graph()
    clip = TextToImage.load_text_encoder(graph)
    graph.add("CLIPSave", clip=clip, filename_prefix="saved_encoder")
    name = keep(server, client, graph, "saved_encoder", "text_encoders")
    graph = TextToImage()
    graph.clip = graph.load_text_encoder(name)
    positive, negative = graph.encode("a red fox in the snow"), graph.encode("")
    image = picture(client, graph.show(graph.sample(positive=positive, negative=negative)))
    assert np.array_equal(image, picture(client, plain()))


def test_a_mixture_of_experts_encodes_prompts(server, client):
    folder = server.base / "models/LLM/mixture"
    boxed = server.base / "models/text_encoders" / TEXT_ENCODER
    torch.manual_seed(0)
    sizes = {"hidden_size": 64, "intermediate_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4}
    config = MixtralConfig(**sizes, num_key_value_heads=2, vocab_size=260, num_local_experts=4)
    MixtralForCausalLM(config).bfloat16().save_pretrained(folder)
    for file in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(boxed / file, folder)
    images = []
    for changes in ({}, {"weight_dtype": "fp8_e4m3fn"}, {"device": "cpu"}):
        graph = TextToImage()
        graph.clip = graph.load_text_encoder("mixture", **changes)
        positive, negative = graph.encode("a red fox in the snow"), graph.encode("")
        images.append(picture(client, graph.show(graph.sample(positive=positive, negative=negative))))
    assert np.array_equal(images[0], images[2]) and images[1].std() > 1
    assert not np.array_equal(images[0], picture(client, plain()))


def test_two_loads_at_once(server, client):
    shutil.copy(server.base / "models/diffusion_models" / MODEL, own_name(server))
    graphs = []
    for loader, name in (("LuminaNextLoadModel", "model_name"), ("UNETLoader", "unet_name")):
        graph = TextToImage()
        model = graph.add(loader, **{name: "second_copy.safetensors", "weight_dtype": "default"})
        graphs.append(graph.show(graph.sample(model=model, seed=77)))
    runs = client.wait(*[client.queue(graph) for graph in graphs])
    first, second = (client.images(run)[0] for run in runs)
    assert np.array_equal(first, second)


def own_name(server):
    return server.base / "models/diffusion_models/second_copy.safetensors"


def test_a_file_that_changed_is_loaded_again(server, client):
    """A LoRA or a model that was trained on, and saved under its name, is what the next run paints with."""
    folders = server.base / "models/diffusion_models", server.base / "models/loras"
    model, lora = folders[0] / "changing.safetensors", folders[1] / "changing.safetensors"
    shutil.copy(folders[0] / MODEL, model)
    write_lora(lora, "diffusion_model")
    graph = TextToImage(model_name=model.name)
    changed = {"lora_name": lora.name, "strength": 1.0, "unmatched": "error"}
    graph.show(graph.sample(model=graph.add("LuminaNextLoadLora", model=graph.model, **changed)))
    assert client.run(graph).status == "success" and client.run(graph).cached == set(graph)
    for file in (model, lora):
        weights, about = load_file(file), read_metadata(file)
        file.unlink()
        save_file({key: 1.5 * value for key, value in weights.items()}, file, about)
        run = client.run(graph)
        assert run.status == "success" and run.cached < set(graph), f"{file} changed"
        assert client.run(graph).cached == set(graph)
