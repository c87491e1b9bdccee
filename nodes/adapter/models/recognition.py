"""Classifiers in ComfyUI: loaded, kept on the device as other models are, and asked about IMAGEs."""

import json
from dataclasses import dataclass
from pathlib import Path

import comfy.model_management
import comfy.model_patcher
import comfy.utils
import torch
from comfy_api.latest import io
from torch import Tensor

from ....nextdit import recognition
from ....nextdit.checkpoint import load_model
from ....nextdit.models.classifier import UNTIMED, ClassifierConfig, ClassifierNextDiT
from ..host.listing import not_found, roots
from .demo import CLASSIFIERS

CLASSIFIER = io.Custom("LUMINA_NEXT_CLASSIFIER")
FEATURES = io.Custom("LUMINA_NEXT_IMAGE_FEATURES")
LANGUAGES = tuple("en ja zh ru uk th pl fa ar ko vi mr tr de fr es hi it pt emoji".split())
ENDINGS = (".safetensors", ".sft", ".pt", ".pth", ".bin")
ROPE = ("as trained", *UNTIMED)


@dataclass(frozen=True)
class Classifier:
    """A network that recognises pictures, and what ComfyUI moves it to the device with."""

    patcher: comfy.model_patcher.ModelPatcher

    @property
    def network(self) -> ClassifierNextDiT:
        return self.patcher.model

    @property
    def config(self) -> ClassifierConfig:
        return self.network.config


@dataclass(frozen=True)
class ImageFeatures:
    """Features (N, dim) of pictures, float32 on the CPU, and which network made them."""

    values: Tensor
    model: str


def files() -> dict[str, Path]:
    """Return name → file of every classifier under models/classifiers, the demo's last; the first of equals wins.

    Core's own list of this folder leaves out files that have an ending.
    """
    found: dict[str, Path] = {}
    for root in roots(CLASSIFIERS):
        for file in sorted(root.rglob("*")):
            if file.suffix.lower() in ENDINGS and file.is_file():
                found.setdefault(file.relative_to(root).as_posix(), file)
    return found


def load(name: str) -> Classifier:
    """Load a listed classifier. Raises FileNotFoundError or ValueError, naming the file."""
    found = files()
    if name not in found:
        raise FileNotFoundError(not_found(name, [CLASSIFIERS], f"models/{CLASSIFIERS}"))
    network = load_model(found[name], dtype=torch.float32, family="classifier")
    device, idle = comfy.model_management.get_torch_device(), comfy.model_management.unet_offload_device()
    return Classifier(comfy.model_patcher.ModelPatcher(network, load_device=device, offload_device=idle))


def describe(classifier: Classifier) -> str:
    """Say in a line what a classifier knows, and how large pictures were in its training."""
    config = classifier.config
    side = config.train_tokens * config.patch_size
    return f"{config.classes} labels in {len(config.languages)} languages; at home at {side} × {side} pixels and more"


def features_of(classifier: Classifier, images: Tensor | list[Tensor], rope: str = ROPE[0]) -> ImageFeatures:
    """Return the features of IMAGEs (B, H, W, 3 or 4) in [0, 1], one tensor or several of different sizes."""
    pictures = [
        picture for batch in ([images] if isinstance(images, Tensor) else images) for picture in as_pictures(batch)
    ]
    comfy.model_management.load_models_gpu([classifier.patcher])
    progress = comfy.utils.ProgressBar(len(pictures))
    method = None if rope == ROPE[0] else rope
    found = recognition.features(
        classifier.network, pictures, method, lambda done, total: progress.update_absolute(done, total)
    )
    return ImageFeatures(found, identity(classifier.network))


def identity(network: ClassifierNextDiT) -> str:
    """Return what tells a network from others: features of one mean nothing to another."""
    weight = network.head[2].weight
    return f"{tuple(weight.shape)} {weight.float().sum().item():.6g}"


def as_pictures(images: Tensor) -> Tensor:
    """Return IMAGEs (B, H, W, 3 or 4) as pictures (B, 3, H, W) in [-1, 1], over white where they are transparent."""
    if images.ndim != 4 or images.shape[-1] not in (1, 3, 4) or not len(images):
        raise ValueError(f"expected images, (batch, height, width, 3), at least one, got {tuple(images.shape)}")
    colours, alpha = images[..., :3], images[..., 3:]
    if alpha.shape[-1]:
        colours = colours * alpha + (1 - alpha)
    return (colours.expand(*colours.shape[:-1], 3).movedim(-1, 1).float() * 2 - 1).clamp(-1, 1)


def shares_of(classifier: Classifier, found: ImageFeatures) -> Tensor:
    """Return how likely each label is (N, classes) for pictures of these features."""
    comfy.model_management.load_models_gpu([classifier.patcher])
    return recognition.shares(classifier.network, found.values)


def classified(
    classifier: Classifier, images: Tensor, language: str, top: int, rope: str
) -> tuple[list[str], list[str], list[float]]:
    """Return each picture's label, its likeliest labels as JSON, and how likely the first is."""
    labels = classifier.config.names(language)
    likely = shares_of(classifier, features_of(classifier, images, rope)).topk(min(top, len(labels)), dim=-1)
    rows = [
        [{"label": labels[i], "index": i, "confidence": round(value, 4)} for i, value in zip(row, values, strict=True)]
        for row, values in zip(likely.indices.tolist(), likely.values.tolist(), strict=True)
    ]
    texts = [json.dumps(row, ensure_ascii=False, indent=1) for row in rows]
    return [row[0]["label"] for row in rows], texts, likely.values[:, 0].tolist()


def best(classifier: Classifier, images: Tensor, label: str, keep: int) -> tuple[Tensor, list[float]]:
    """Return the `keep` images that most likely show a label, the likeliest first, and how likely."""
    wanted = recognition.label_indices(classifier.config, label)
    scores = shares_of(classifier, features_of(classifier, images))[:, wanted].sum(-1)
    return ranked(images, scores, keep)


def most_alike(images: Tensor, found: ImageFeatures, reference: ImageFeatures, keep: int) -> tuple[Tensor, list[float]]:
    """Return the `keep` images most like the nearest of the reference's, the most alike first, and how alike.

    Raises ValueError if the features are of other images or of another model.
    """
    if len(found.values) != len(images):
        raise ValueError(
            f"there are {len(images)} images and features of {len(found.values)}: connect the same images to both"
        )
    if found.model != reference.model:
        raise ValueError("the features are of two models: make both with the same classifier")
    return ranked(images, recognition.similarity(found.values, reference.values), keep)


def ranked(images: Tensor, scores: Tensor, keep: int) -> tuple[Tensor, list[float]]:
    """Return the `keep` images of the highest scores (N,), all for 0, in falling order, and those scores."""
    order = scores.argsort(descending=True, stable=True)[: keep or len(scores)]
    return images[order.to(images.device)], scores[order].tolist()
