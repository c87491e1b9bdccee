"""LoRAs of Lumina-Image-2.0, Z-Image and their kin, whose layers keep query, key and value as one weight.

Most files name the three apart. They are taken as modules of their own here, and joined where ComfyUI's stock loader
would cut the weight elsewhere: it takes the three for equally large, which they are not with grouped keys.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

import torch

from .joint_names import BLOCK, FUSED
from .merge import Base, sum_of
from .parts import Parts, UnreadFormat, WrongLora

PLAIN = {"lora_up.weight", "lora_down.weight", "alpha"}
Shapes = Mapping[str, tuple[int, ...]]


@dataclass(frozen=True)
class Rows:
    """The rows of a module's weight that files take for a module of its own."""

    module: str
    start: int
    count: int


def parts_of_fused(shapes: Shapes) -> dict[str, Rows]:
    """Return query, key and value of every layer of a network with weights of these shapes, by name."""
    found = {}
    for key, shape in shapes.items():
        if not re.fullmatch(rf"{BLOCK}\.{FUSED}\.weight", key):
            continue
        module = key.removesuffix(".weight")
        attention = module.removesuffix("qkv")
        query = shapes[f"{attention}out.weight"][1]
        other = (shape[0] - query) // 2
        for name, start, count in (("q", 0, query), ("k", query, other), ("v", query + other, other)):
            found[f"{attention}to_{name}"] = Rows(module, start, count)
    return found


def with_parts(shapes: Shapes, parts: Mapping[str, Rows]) -> dict[str, tuple[int, ...]]:
    """Return shapes with those of the parts, too."""
    made = dict(shapes)
    for name, rows in parts.items():
        for leaf in ("weight", "bias"):
            if (whole := shapes.get(f"{rows.module}.{leaf}")) is not None:
                made[f"{name}.{leaf}"] = (rows.count, *whole[1:])
    return made


def base_of(base: Base, parts: Mapping[str, Rows]) -> Base:
    """Return a base that knows the parts, too."""

    def weight(module: str) -> torch.Tensor:
        rows = parts.get(module)
        return base(module) if rows is None else base(rows.module)[rows.start : rows.start + rows.count]

    return weight


def join(
    modules: Mapping[str, Parts], parts: Mapping[str, Rows], shapes: Shapes, base: Base | None
) -> dict[str, Parts]:
    """Return changes of modules with those of the parts joined, wherever the stock loader would misplace them.

    LoRAs become one whose factors lie apart, which changes nothing; other kinds one difference of the whole weight.
    Raises WrongLora where the whole is changed besides, UnreadFormat for kinds that cannot be joined.
    """
    made = {name: changes for name, changes in modules.items() if name not in parts}
    fused: dict[str, dict[str, Parts]] = {}
    for name, rows in parts.items():
        if name in modules:
            fused.setdefault(rows.module, {})[name] = modules[name]
    for module, changes in fused.items():
        if module in made:
            raise WrongLora(f"{module} and {' and '.join(sorted(changes))} change the same; keep one of them")
        whole, counts = shapes[f"{module}.weight"], {rows.count for rows in parts.values() if rows.module == module}
        if len(counts) == 1 and not any("diff_b" in one for one in changes.values()):
            made |= changes
            continue
        made[module] = _joined({parts[name]: one for name, one in changes.items()}, whole, base)
    return made


def _joined(changes: Mapping[Rows, Parts], whole: tuple[int, ...], base: Base | None) -> Parts:
    made: Parts = {}
    biased = {rows: one["diff_b"].float() for rows, one in changes.items() if "diff_b" in one}
    rest = {rows: {name: x for name, x in one.items() if name != "diff_b"} for rows, one in changes.items()}
    rest = {rows: one for rows, one in rest.items() if one}
    if biased:
        made["diff_b"] = torch.zeros(whole[0])
        for rows, bias in biased.items():
            made["diff_b"][rows.start : rows.start + rows.count] = bias
    if rest and all(set(one) <= PLAIN for one in rest.values()):
        return made | _one_lora(rest, whole[0])
    if rest:
        made["diff"] = torch.zeros(whole)
    for rows, one in rest.items():
        if base is None:
            raise UnreadFormat(f"it holds changes of {rows.module} that cannot be joined without its weight")
        weight = base(rows.module)[rows.start : rows.start + rows.count].float().cpu()
        changed = one["set_weight"].float() if "set_weight" in one else sum_of(rows.module, dict(one), weight, 1.0)
        made["diff"][rows.start : rows.start + rows.count] = changed - weight
    return made


def _one_lora(changes: Mapping[Rows, Parts], height: int) -> Parts:
    ranks = [len(one["lora_down.weight"]) for one in changes.values()]
    up, at = torch.zeros(height, sum(ranks)), 0
    for (rows, one), rank in zip(changes.items(), ranks, strict=True):
        scale = float(one["alpha"]) / rank if "alpha" in one else 1.0
        up[rows.start : rows.start + rows.count, at : at + rank] = scale * one["lora_up.weight"].float().flatten(1)
        at += rank
    downs = [one["lora_down.weight"].float().flatten(1) for one in changes.values()]
    return {"lora_up.weight": up, "lora_down.weight": torch.cat(downs)}
