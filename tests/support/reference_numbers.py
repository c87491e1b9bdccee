"""Write what the reference code computes, for the tests of our networks to be held against.

`python -m lumina_next.tests.support.reference_numbers LUMINA_T2X FILE`, LUMINA_T2X a checkout of
github.com/Alpha-VLLM/Lumina-T2X. What it needs of CUDA, fairscale and flash-attn is stood in for, on one rank.
"""

import importlib
import json
import sys
import types
from inspect import signature
from pathlib import Path

import torch
from torch import nn

from .reference_weights import numbers, weights

SIZE = {"dim": 48, "n_layers": 2, "n_heads": 2, "multiple_of": 16, "qk_norm": True}
CASES = {
    # name: folder, module, arguments
    "flag": ("lumina_t2i", "models.model", {"cap_feat_dim": 20}),
    "class_next": ("Next-DiT-ImageNet", "models.models", {"num_classes": 5}),
    "class_next_grouped": ("Next-DiT-ImageNet", "models.models", {"num_classes": 5, "n_kv_heads": 1}),
    "class_next_without_qk_norm": ("Next-DiT-ImageNet", "models.models", {"num_classes": 5, "qk_norm": False}),
    "class_flag": ("Flag-DiT-ImageNet", "models.model", {"num_classes": 5}),
    "time_experts": ("Next-DiT-MoE", "models.models", {"num_classes": 5}),
    "space_experts": ("Next-DiT-MoE", "models.models1", {"num_classes": 5}),
    "both_experts": ("Next-DiT-MoE", "models.models2", {"num_classes": 5}),
}
TIMES = [0.2, 0.7]


class Column(nn.Linear):
    def __init__(self, inputs, outputs, bias=True, gather_output=True, init_method=None):
        super().__init__(inputs, outputs, bias=bias)


class Row(nn.Linear):
    def __init__(self, inputs, outputs, bias=True, input_is_parallel=False, init_method=None):
        super().__init__(inputs, outputs, bias=bias)


class Table(nn.Embedding):
    def __init__(self, count, width, init_method=None):
        super().__init__(count, width)


def stand_in() -> None:
    """Put modules with the names that the reference code imports, and take CUDA and the compiler out of its way."""
    initialize = types.ModuleType("fairscale.nn.model_parallel.initialize")
    initialize.get_model_parallel_world_size = lambda: 1
    layers = types.ModuleType("fairscale.nn.model_parallel.layers")
    layers.ColumnParallelLinear, layers.RowParallelLinear, layers.ParallelEmbedding = column, Row, Table
    padding = types.ModuleType("flash_attn.bert_padding")
    padding.index_first_axis = padding.pad_input = padding.unpad_input = None
    flash = types.ModuleType("flash_attn")
    flash.flash_attn_func = flash.flash_attn_varlen_func = None
    packages = {name: types.ModuleType(name) for name in ("fairscale", "fairscale.nn", "fairscale.nn.model_parallel")}
    packages["fairscale.nn.model_parallel"].initialize = initialize
    packages |= {module.__name__: module for module in (initialize, layers, flash, padding)}
    sys.modules |= packages
    torch.Tensor.cuda = lambda self: self
    torch.compile = lambda function: function


def column(*sizes, in_features=None, out_features=None, **options) -> Column:
    return Column(*(sizes or (in_features, out_features)), **options)


def model_of(checkout: Path, folder: str, module: str, arguments: dict) -> nn.Module:
    """Return the reference's network of a folder, with weights by name."""
    for name in [name for name in sys.modules if name.partition(".")[0] == "models"]:
        del sys.modules[name]
    sys.path.insert(0, str(checkout / folder))
    try:
        model = importlib.import_module(module).DiT_Llama(**(SIZE | arguments))
    finally:
        sys.path.pop(0)
    model.load_state_dict(weights({key: tuple(x.shape) for key, x in model.state_dict().items()}))
    return model.eval()


@torch.no_grad()
def text_case(model: nn.Module) -> dict:
    """Return a Flag-DiT's velocities: as in training, larger with NTK and proportional attention, and linear."""
    text, mask = numbers("text", (2, 5, 20)), torch.tensor([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]])
    x, t = numbers("x", (2, 4, 6, 8)), torch.tensor(TIMES)
    found = {"plain": model(x, t, text, mask)}
    larger = numbers("larger", (1, 4, 12, 16)).repeat(2, 1, 1, 1)
    for name, options in {
        "ntk": {"ntk_factor": 4.0, "proportional_attn": True, "base_seqlen": 8**2 + 2 * 8},
        "linear": {"rope_scaling_factor": 4.0, "ntk_factor": 1.0},
    }.items():
        found[name] = model.forward_with_cfg(larger, t[:1].repeat(2), text, mask, cfg_scale=1.0, **options)[:1]
    return found


@torch.no_grad()
def class_case(model: nn.Module) -> dict:
    """Return a class-conditional model's velocities of two classes, and of one and none under guidance."""
    t = torch.tensor(TIMES)
    only_square = "ntk_factor" not in signature(model.forward_with_cfg).parameters
    sizes = [(8, 8), (8, 8)] if only_square else [(6, 8), (12, 16)]
    model.input_size = 8
    found = {"plain": model(numbers("x", (2, 4, *sizes[0])), t, torch.tensor([3, 0]))}
    both = numbers("larger", (1, 4, *sizes[1])).repeat(2, 1, 1, 1)
    scaled = {} if only_square else {"rope_scaling_factor": 1.0, "ntk_factor": 2.0}
    labels = torch.tensor([3, 5])
    found["guided"] = model.forward_with_cfg(both, t[:1].repeat(2), labels, cfg_scale=4.0, **scaled)[:1]
    return found


def main(checkout: Path, file: Path) -> None:
    stand_in()
    cases = {}
    for name, (folder, module, arguments) in CASES.items():
        model = model_of(checkout, folder, module, arguments)
        found = text_case(model) if folder == "lumina_t2i" else class_case(model)
        shapes = {key: list(x.shape) for key, x in model.state_dict().items()}
        outputs = {key: {"shape": list(x.shape), "values": rounded(x)} for key, x in found.items()}
        cases[name] = {"shapes": shapes, "outputs": outputs}
    file.write_text("{\n" + ",\n".join(f'"{name}": {json.dumps(case)}' for name, case in cases.items()) + "\n}\n")


def rounded(x: torch.Tensor) -> list[float]:
    return [float(f"{value:.7g}") for value in x.flatten().tolist()]


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
