"""What PEFT says beside a LoRA's tensors: its kind, and the scale of each module."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .parts import UnreadFormat

KINDS = {"LORA": "LoRA", "LOHA": "LoHa", "LOKR": "LoKr"}
DEFAULT = 8  # PEFT's rank and alpha where the config has none
# Options of PEFT's LoraConfig that change what the tensors mean → their names.
VARIANTS = {
    "alora_invocation_tokens": "activated LoRA",
    "arrow_config": "Arrow",
    "kasa_config": "KaSA",
    "layer_replication": "LoRA of replicated layers",
    "monteclora_config": "MonteCLoRA",
    "use_bdlora": "block-diagonal LoRA",
    "use_qalora": "QALoRA",
    "velora_config": "VeLoRA",
}
# Beginnings of init_lora_weights with which PEFT takes the first LoRA out of the model's own weights.
RESIDUAL = ("pissa", "olora", "corda", "loftq", "lora_ga")


@dataclass(frozen=True)
class AdapterConfig:
    """A PEFT config, of adapter_config.json or diffusers' metadata; patterns are PEFT's, tried in their order.

    `kind` and `rank` are None where the config does not say.
    """

    source: str
    kind: str | None = None
    rank: int | None = None
    alpha: float = float(DEFAULT)
    ranks: Mapping[str, int] = field(default_factory=dict)
    alphas: Mapping[str, float] = field(default_factory=dict)
    rank_stabilised: bool = False
    dora: bool = False

    def scale(self, path: str, kind: str, rank: int | None, dora: bool) -> float:
        """Return what multiplies the change of a module, whose tensors have `rank` (None if they do not tell).

        `path` is the module's in the network that PEFT saw. alpha / r, or alpha / √r if rank-stabilised (arXiv
        2312.03732). Raises ValueError if the tensors are of another kind or rank than the config says.
        """
        if self.kind not in (None, kind):
            raise ValueError(f"{path} is a {kind}, the config says {self.kind}")
        if self.dora and not dora:
            raise ValueError(f"{path} has no lora_magnitude_vector, the config says use_dora")
        said = self.ranks.get(_first_match(self.ranks, path), self.rank)
        if said is not None and rank is not None and said != rank:
            raise ValueError(f"{path} has rank {rank}, the config says {said}")
        rank = rank or said or DEFAULT
        alpha = self.alphas.get(_first_match(self.alphas, path), self.alpha)
        return alpha / math.sqrt(rank) if self.rank_stabilised else alpha / rank


def adapter_config(config: Mapping[str, Any], source: str) -> AdapterConfig | None:
    """Read a PEFT config; None if it says nothing about scales.

    Raises UnreadFormat for other kinds than LoRA, LoHa and LoKr, ValueError for values that PEFT would not take.
    """
    read = _Reader({key: value for key, value in config.items() if value is not None}, source)
    kind = read.kind()
    lycoris = kind in ("LoHa", "LoKr") or (kind is None and "lora_alpha" not in read.config)
    alpha = "alpha" if lycoris else "lora_alpha"
    if kind is None and not {alpha, "r", "rank_pattern", "alpha_pattern"} & set(read.config):
        return None
    if not lycoris:
        read.refuse_variants()
    return AdapterConfig(
        source=source,
        kind=kind,
        rank=read.rank("r", read.config["r"]) if "r" in read.config else None,
        alpha=read.number(alpha, read.config.get(alpha, DEFAULT)),
        ranks={key: read.rank(f"rank_pattern {key!r}", value) for key, value in read.pattern("rank_pattern").items()},
        alphas={
            key: read.number(f"alpha_pattern {key!r}", value) for key, value in read.pattern("alpha_pattern").items()
        },
        rank_stabilised=not lycoris and read.flag("use_rslora"),
        dora=not lycoris and read.flag("use_dora"),
    )


def _first_match(patterns: Mapping[str, Any], path: str) -> str:
    """Return the first key that PEFT finds to match a module: as a regular expression, for whole names at the end."""
    return next((key for key in patterns if re.match(rf"(.*\.)?({key})$", path)), path)


@dataclass
class _Reader:
    config: dict[str, Any]
    source: str

    def wrong(self, name: str, expected: str, value: object) -> ValueError:
        return ValueError(f"{self.source}: {name} must be {expected}, got {value!r}; save the adapter again with PEFT")

    def kind(self) -> str | None:
        name = self.config.get("peft_type")
        if name is not None and not isinstance(name, str):
            raise self.wrong("peft_type", f"one of {', '.join(KINDS)}", name)
        if name is not None and name.upper() not in KINDS:
            raise UnreadFormat(f"{self.source} says that it is PEFT's {name}, expected one of {', '.join(KINDS)}")
        return None if name is None else KINDS[name.upper()]

    def refuse_variants(self) -> None:
        for option, name in VARIANTS.items():
            if self.config.get(option):
                raise UnreadFormat(f"{self.source} says that it is {name} ({option}), a kind of LoRA that is not read")
        start = self.config.get("init_lora_weights")
        if isinstance(start, str) and start.lower().startswith(RESIDUAL):
            raise UnreadFormat(
                f"{self.source} says init_lora_weights = {start!r}: this LoRA belongs to a model whose weights PEFT "
                "changed; save it again as a plain LoRA (path_initial_model_for_weight_conversion)"
            )

    def rank(self, name: str, value: object) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise self.wrong(name, "a positive whole number", value)
        return value

    def number(self, name: str, value: object) -> float:
        if not isinstance(value, bool) and isinstance(value, (int, float)) and abs(value) < 1e30:  # NaN is not less
            return float(value)
        raise self.wrong(name, "a number", value)

    def flag(self, name: str) -> bool:
        value = self.config.get(name, False)
        if not isinstance(value, bool):
            raise self.wrong(name, "true or false", value)
        return value

    def pattern(self, name: str) -> dict[str, Any]:
        value = self.config.get(name, {})
        if not isinstance(value, dict):
            raise self.wrong(name, "an object from module names to numbers", value)
        for key in value:
            try:
                re.compile(rf"(.*\.)?({key})$")
            except re.error as error:
                raise self.wrong(name, f"an object whose keys are regular expressions ({error})", key) from error
        return value
