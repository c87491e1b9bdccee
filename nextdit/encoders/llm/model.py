"""A decoder-only LLM of `transformers` as a plain module: injected operations, features of any layer."""

import copy
import re
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.overrides import TorchFunctionMode

from ...files import StateDict

# Keys that causal-LM checkpoints have and a text encoder does not need: the head, and rotary tables of old releases.
IGNORED = re.compile(r"(^|\.)((lm_head|embed_out)\.|rotary_emb\.inv_freq$)")


class _ParametersOnMeta(TorchFunctionMode):
    """Send `torch.empty`, from which layers make their weights, to the meta device; buffers stay real and computed.

    A plain `torch.device("meta")` would also lose the rotary frequencies, which no checkpoint holds.
    """

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = dict(kwargs or {})
        if func is torch.empty:
            kwargs["device"] = "meta"
        return func(*args, **kwargs)


def native_config(config: dict[str, Any]) -> Any:
    """Turn a config.json into a transformers config; ValueError if it needs remote code or is no decoder-only LLM."""
    from transformers import AutoConfig
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES as causal

    kind = str(config.get("model_type"))
    # The weights are cast on loading; a dtype here would round the model's buffers.
    dropped = ("model_type", "dtype", "torch_dtype", "auto_map")
    settings = {key: value for key, value in config.items() if key not in dropped}
    if kind == "internlm":  # LLaMA with biases on the attention projections, and LLaMA's keys
        kind, settings["attention_bias"] = "llama", config.get("bias", True)
    if kind not in causal:
        if config.get("auto_map"):
            raise ValueError(
                f"model_type {kind!r} needs code from its repository (auto_map), which is never run here. "
                "Use a version of the model that transformers has built in "
                "(for Qwen-1.8B: Qwen1.5-1.8B; for InternLM2: a conversion to LLaMA's layout)."
            )
        raise ValueError(
            f"model_type {kind!r} is not a decoder-only LLM that the installed transformers knows. "
            "Expected one such as gemma, llama, qwen2 or mistral; for a newer family, update transformers."
        )
    if "text_config" in config:
        raise ValueError(f"model_type {kind!r} takes images as well as text. Use a text-only LLM of the family.")
    if config.get("quantization_config"):
        method = config["quantization_config"].get("quant_method", "unknown")
        raise ValueError(
            f"the weights are quantized ({method}). Use the original weights, and fp8 as weight dtype to save memory."
        )
    return AutoConfig.for_model(kind, **settings)


class LanguageModel(nn.Module):
    """An LLM without its head, whose weights arrive with `load`; its Linear and LayerNorm come from `operations`.

    `config` is the content of config.json. Linear weights get `weight_dtype`, everything else `dtype`
    (an fp8 embedding or norm would cost precision and save little). ValueError as `native_config`.
    """

    def __init__(self, config: dict[str, Any], *, operations: Any = nn, dtype=torch.float32, weight_dtype=None):
        super().__init__()
        from transformers import AutoModel

        with _ParametersOnMeta():
            self.model = AutoModel.from_config(native_config(config))
        self.model.eval().requires_grad_(False)
        self.shapes = {key: value.shape for key, value in self.model.state_dict().items()}
        self.embedding.padding_idx = None  # only steers gradients, and must lie inside the rows looked up
        self.dtype = dtype
        self.weight_dtype = weight_dtype or dtype
        self.swapped = self._swap_leaves(operations)
        self.materialize("meta")

    @property
    def embedding(self) -> Any:
        """The module that turns token ids into vectors."""
        return self.model.get_input_embeddings()

    @property
    def sizes(self) -> SimpleNamespace:
        """Numbers of the architecture: layers, width (hidden), inner (feed-forward), heads."""
        config = self.model.config
        layers, width, heads = config.num_hidden_layers, config.hidden_size, config.num_attention_heads
        inner = getattr(config, "intermediate_size", None) or 4 * width
        return SimpleNamespace(layers=layers, width=width, inner=inner, heads=heads)

    @property
    def uncast(self) -> list[str]:
        """Keys of matrices outside Linear and Embedding (GPT-2, mixture of experts): they cannot be cast at use."""
        tables = {f"{name}.weight" for name, leaf in self.model.named_modules() if isinstance(leaf, nn.Embedding)}
        return sorted(key for key in self.shapes.keys() - self.swapped - tables if len(self.shapes[key]) > 1)

    def _swap_leaves(self, operations: Any) -> set[str]:
        swapped = set()
        for name, leaf in list(self.model.named_modules()):
            where = {"device": "meta", "dtype": self.weight_dtype}
            if type(leaf) is nn.Linear:
                new = operations.Linear(leaf.in_features, leaf.out_features, bias=leaf.bias is not None, **where)
                swapped.add(f"{name}.weight")
            elif type(leaf) is nn.LayerNorm:
                where["dtype"] = self.dtype
                affine = {"elementwise_affine": leaf.elementwise_affine, "bias": leaf.bias is not None}
                new = operations.LayerNorm(leaf.normalized_shape, eps=leaf.eps, **affine, **where)
            else:
                continue
            self.model.set_submodule(name, new.eval().requires_grad_(False))
        return swapped

    def dtype_of(self, key: str) -> torch.dtype:
        """The dtype in which the parameter `key` is held."""
        return self.weight_dtype if key in self.swapped else self.dtype

    def materialize(self, device: Any) -> None:
        """Give every parameter its dtype and, unless `device` is "meta", memory there; move the buffers along."""
        for name, parameter in list(self.model.named_parameters()):
            owner, _, leaf = name.rpartition(".")
            empty = torch.empty_like(parameter, device=device, dtype=self.dtype_of(name))
            setattr(self.model.get_submodule(owner), leaf, nn.Parameter(empty, requires_grad=False))
        if str(device) != "meta":
            for name, buffer in list(self.model.named_buffers()):
                owner, _, leaf = name.rpartition(".")
                setattr(self.model.get_submodule(owner), leaf, buffer.to(device))

    def load(self, weights: StateDict, source: str, *, assign: bool = True) -> None:
        """Load weights strictly, cast to the dtypes held. ValueError names `source` and up to ten wrong keys."""
        # Causal-LM checkpoints name the part without the head (model, transformer); bare models do not.
        prefix = re.compile(rf"^(model|{self.model.base_model_prefix})\.")
        named = {prefix.sub("", key): value for key, value in weights.items() if not IGNORED.search(key)}
        self._check(named, source)
        cast = {key: value.to(self.dtype_of(key)) for key, value in named.items()}
        self.model.load_state_dict(cast, strict=True, assign=assign)
        self.model.requires_grad_(False)

    def _check(self, weights: StateDict, source: str) -> None:
        faults = {
            "missing": sorted(self.shapes.keys() - weights.keys()),
            "unexpected": sorted(weights.keys() - self.shapes.keys()),
            "of another shape": [
                f"{key} {tuple(weights[key].shape)}, expected {tuple(shape)}"
                for key, shape in self.shapes.items()
                if key in weights and weights[key].shape != shape
            ],
        }
        found = [f"{len(keys)} {what}: {', '.join(keys[:10])}" for what, keys in faults.items() if keys]
        if found:
            kind = type(self.model).__name__
            raise ValueError(
                f"{source} does not hold the weights of the {kind} its config.json describes. {'; '.join(found)}. "
                "Use config.json and weight files of the same model."
            )

    def depth(self, layer: int) -> int:
        """How many layers run for `hidden_states[layer]`; ValueError if there is no such layer."""
        count = self.sizes.layers
        depth = layer + count + 1 if layer < 0 else layer
        if not 0 <= depth <= count:
            raise ValueError(f"layer {layer} does not exist: this LLM has {count} layers, so {-count - 1} to {count}.")
        return depth

    def _first(self, depth: int) -> nn.Module | None:
        """Return a view of the model that ends after `depth` layers, or None if it has no `layers` and `norm`."""
        modules = self.model._modules
        if not isinstance(modules.get("layers"), nn.ModuleList) or "norm" not in modules:
            return None
        view = copy.copy(self.model)
        view._modules = {**modules, "layers": modules["layers"][:depth], "norm": nn.Identity()}
        return view

    def embed(self, ids: Tensor, device: Any, dtype: torch.dtype) -> Tensor:
        """Look up ids (B, L) → (B, L, D) in `dtype` on `device`; only the rows needed leave the table's device."""
        table = self.embedding
        rows, inverse = torch.unique(ids.to(table.weight.device), return_inverse=True)
        tensors = {"weight": table.weight[rows].to(device, dtype)}
        tensors |= {name: buffer.to(device) for name, buffer in table.named_buffers()}
        return functional_call(table, tensors, (inverse.to(device),))

    @torch.no_grad()
    def forward(self, ids: Tensor, mask: Tensor | None, layer: int, *, device=None, dtype=None) -> Tensor:
        """Return `hidden_states[layer]` (B, L, D) for ids (B, L) and mask (B, L) of 1 (attend) and 0, or None.

        As in transformers, 0 is the embedding and -1 is after the final norm. Layers beyond are not run.
        """
        device = device or self.embedding.weight.device
        dtype = dtype or self.dtype
        depth = self.depth(layer)
        inputs = {
            "inputs_embeds": self.embed(ids, device, dtype),
            "attention_mask": None if mask is None else mask.to(device),
            "use_cache": False,
        }
        if depth == self.sizes.layers:
            return self.model(**inputs).last_hidden_state
        first = self._first(depth)
        if first is not None:
            return first(**inputs).last_hidden_state
        return self.model(**inputs, output_hidden_states=True).hidden_states[depth]
