"""Write what the reference code of Lumina-T2Audio computes, for the tests of our audio models to be held against.

`python -m lumina_next.tests.support.reference_audio LUMINA_T2X FILE`, LUMINA_T2X a checkout of
github.com/Alpha-VLLM/Lumina-T2X.
"""

import importlib
import json
import sys
from pathlib import Path

import torch
from torch import nn

from .reference_numbers import rounded, stand_in
from .reference_weights import numbers, weights

TIMES = [0.2, 0.7]
NETWORKS = {"small": (24, 2, 3), "wide": (32, 1, 2)}  # width, layers, heads


def reference(module: str):
    """Return a module of the reference code, which is on the path."""
    return importlib.import_module(f"models.{module}")


def filled(model: nn.Module) -> nn.Module:
    """Give a module of the reference its weights by name."""
    model.load_state_dict(weights({key: tuple(x.shape) for key, x in model.state_dict().items()}))
    return model.eval()


def shapes(model: nn.Module) -> dict[str, list[int]]:
    return {key: list(x.shape) for key, x in model.state_dict().items()}


def written(**found: torch.Tensor) -> dict:
    return {key: {"shape": list(x.shape), "values": rounded(x)} for key, x in found.items()}


@torch.no_grad()
def network(dim: int, depth: int, heads: int) -> dict:
    """Return a network's velocity of 7 frames at times of which the reference makes steps of a thousand."""
    kind = reference("diffusion.flag_large_dit").FlagDiTv2
    model = filled(kind(in_channels=5, context_dim=16, hidden_size=dim, depth=depth, num_heads=heads, max_len=40))
    steps = (torch.tensor(TIMES) * 1000).long()
    velocity = model(numbers("x", (2, 5, 7)), steps, numbers("text", (2, 6, 16)))
    return {"shapes": shapes(model), "outputs": written(velocity=velocity)}


def main(checkout: Path, file: Path) -> None:
    stand_in()
    sys.path.insert(0, str(checkout / "lumina_audio"))
    cases = {f"network_{name}": network(*size) for name, size in NETWORKS.items()}
    file.write_text("{\n" + ",\n".join(f'"{name}": {json.dumps(case)}' for name, case in cases.items()) + "\n}\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
