"""A decoder-only LLM of `transformers` as a plain module: injected operations, features of any layer."""

import inspect
import re
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.overrides import TorchFunctionMode

from ...files import StateDict
from .cast_at_use import cast_at_use
from .families import build_config, family
from .weights import converted, without_head

# Settings of models that run layers more than once, and so have other numbers of hidden states.
LOOPS = re.compile("loop|recurr")


class _Reached(Exception):
    """The hidden states asked for are there: the layers behind need not run."""

    def __init__(self, states: Tensor):
        self.states = states


class _ParametersOnMeta(TorchFunctionMode):
    """Send `torch.empty`, from which layers make their weights, to the meta device; buffers stay real and computed.

    A plain `torch.device("meta")` would also lose the rotary frequencies, which no checkpoint holds.
    """

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = dict(kwargs or {})
        if func is torch.empty:
            kwargs["device"] = "meta"
        return func(*args, **kwargs)


class LanguageModel(nn.Module):
    """An LLM without its head, whose weights arrive with `load`; its Linear and LayerNorm come from `operations`.

    `config` is the content of config.json. The matrices of Linear layers and experts get `weight_dtype`, everything
    else `dtype` (an fp8 embedding or norm would cost precision and save little). ValueError as `llm_families.family`.
    """

    def __init__(self, config: dict[str, Any], *, operations: Any = nn, dtype=torch.float32, weight_dtype=None):
        super().__init__()
        self.family = family(config)
        self.model = self._build(build_config(self.family))
        self.model.eval().requires_grad_(False)
        self.shapes = {key: value.shape for key, value in self.model.state_dict().items()}
        self.embedding.padding_idx = None  # only steers gradients, and must lie inside the rows looked up
        self.dtype = dtype
        self.weight_dtype = weight_dtype or dtype
        self.operations = operations
        self.swapped = self._swap_leaves(operations)
        self.exact = self._exact()
        self.materialize("meta")

    def _build(self, config: Any) -> Any:
        from transformers import AutoModel

        try:
            with _ParametersOnMeta():
                model = AutoModel.from_config(config)
        except Exception as error:  # whatever settings that do not go together lead to
            raise ValueError(
                f"transformers cannot build model_type {self.family.kind!r} from config.json: "
                f"{' '.join(str(error).split())[:300]}; use the config.json from the model's own repository"
            ) from error
        if "inputs_embeds" not in inspect.signature(model.forward).parameters:
            raise ValueError(
                f"model_type {self.family.kind!r} takes no embeddings as input, which a text encoder here needs, "
                "expected a decoder-only LLM such as gemma, llama, qwen2 or mistral"
            )
        if hasattr(model, "set_experts_implementation"):
            model.set_experts_implementation("eager")  # expert by expert: others would cast all of them at once
        return model

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
        inner = max(inner) if isinstance(inner, list | tuple) else inner
        return SimpleNamespace(layers=layers, width=width, inner=inner, heads=heads)

    def _swap_leaves(self, operations: Any) -> set[str]:
        """Put in layers of `operations`; returns the keys of all matrices that may be held in `weight_dtype`."""
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
                swapped |= {f"{name}.{key}" for key in matrices(leaf)}
                continue
            self.model.set_submodule(name, new.eval().requires_grad_(False))
        return swapped

    def _casting(self) -> list[nn.Module]:
        """Layers that cast their weights themselves: all injected ones, but for PyTorch's own."""
        kinds = tuple({self.operations.Linear, self.operations.LayerNorm} - {nn.Linear, nn.LayerNorm})
        return [module for module in self.model.modules() if isinstance(module, kinds)]

    @property
    def largest_cast(self) -> int:
        """How many numbers of one matrix are cast at a time at most (of experts: one)."""
        shapes = [self.shapes[key] for key in self.swapped]
        return max((shape.numel() // (shape[0] if len(shape) > 2 else 1) for shape in shapes), default=0)

    def dtype_of(self, key: str) -> torch.dtype:
        """The dtype in which the parameter or buffer `key` is held."""
        if key in self.exact:
            return self.exact[key]
        return self.weight_dtype if key in self.swapped else self.dtype

    def _exact(self) -> dict[str, torch.dtype]:
        """Buffers, and parameters that transformers keeps in fp32: rounded, they choose other experts."""
        found = {name: buffer.dtype for name, buffer in self.model.named_buffers()}
        kept = {name for name in getattr(self.model, "_keep_in_fp32_modules_strict", None) or ()}
        fp32 = (name for name, _ in self.model.named_parameters() if kept & set(name.split(".")))
        return found | dict.fromkeys(fp32, torch.float32)

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
        weights = self.family.rename(weights)
        named = without_head(weights, self.model.base_model_prefix)
        if named.keys() != self.shapes.keys():
            try:
                fused = converted(weights, build_config(self.family))
            except ValueError as error:
                self._check(named, source, str(error))
                raise
            named = fused if self._faults(fused) < self._faults(named) else named
        self._check(named, source)
        cast = {key: value.to(self.dtype_of(key)) for key, value in named.items()}
        self.model.load_state_dict(cast, strict=True, assign=assign)
        self.model.requires_grad_(False)

    def _faults(self, weights: StateDict) -> int:
        return len(self.shapes.keys() ^ weights.keys())

    def _check(self, weights: StateDict, source: str, more: str = "") -> None:
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
                f"{source} does not hold the weights of the {kind} its config.json describes: {'; '.join(found)}"
                f"{more and f' ({more})'}; use config.json and weight files of the same model"
            )

    def depth(self, layer: int) -> int:
        """How many layers run for `hidden_states[layer]`; ValueError if there is no such layer."""
        count = self.sizes.layers
        depth = layer + count + 1 if layer < 0 else layer
        if not 0 <= depth <= count:
            raise ValueError(f"layer {layer} does not exist: this LLM has {count} layers, so {-count - 1} to {count}")
        return depth

    def table(self) -> Tensor:
        """Return the matrix whose rows `embed` looks up."""
        return self.embedding.weight

    def embed(self, ids: Tensor, device: Any, dtype: torch.dtype) -> Tensor:
        """Look up ids (B, L) → (B, L, D) in `dtype` on `device`; only the rows needed leave the table's device."""
        table, weight = self.embedding, self.table()
        rows, inverse = torch.unique(ids.to(weight.device), return_inverse=True)
        tensors = {"weight": weight[rows].to(device, dtype)}
        tensors |= {name: buffer.to(device) for name, buffer in table.named_buffers()}
        return functional_call(table, tensors, (inverse.to(device),))

    @torch.no_grad()
    def forward(self, ids: Tensor, mask: Tensor | None, layer: int, *, device=None, dtype=None) -> Tensor:
        """Return `hidden_states[layer]` (B, L, D) for ids (B, L) and mask (B, L) of 1 (attend) and 0, or None.

        As in transformers, 0 is the embedding and -1 is after the final norm. Layers beyond are not run.
        """
        device = torch.device(device or self.embedding.weight.device)
        dtype = dtype or self.dtype
        depth = self.depth(layer)
        if self.family.context and ids.shape[1] > self.family.context:
            raise ValueError(
                f"the prompt has {ids.shape[1]} tokens, expected at most {self.family.context}: beyond its training "
                "length this LLM scales attention in ways of its own; lower max_tokens"
            )
        inputs = {
            "inputs_embeds": self.embed(ids, device, dtype),
            "attention_mask": None if mask is None else mask.to(device),
            "use_cache": False,
        }
        with cast_at_use(self.model, {self.embedding, *self._casting()}, device, dtype):
            return self._states(inputs, layer, depth)

    def _states(self, inputs: dict[str, Any], layer: int, depth: int) -> Tensor:
        if depth == self.sizes.layers:
            return self.model(**inputs).last_hidden_state
        layers = self.model._modules.get("layers")
        looped = any(LOOPS.search(name) for name in self.model.config.to_dict())
        if looped or not isinstance(layers, nn.ModuleList) or len(layers) != self.sizes.layers:
            states = self.model(**inputs, output_hidden_states=True).hidden_states
            if not -len(states) <= layer < len(states):
                raise ValueError(f"layer {layer} does not exist: this LLM gives {len(states)} hidden states")
            return states[layer]
        hook = layers[depth].register_forward_pre_hook(_stop, with_kwargs=True)
        try:
            self.model(**inputs)
        except _Reached as reached:
            return reached.states
        finally:
            hook.remove()
        raise RuntimeError(f"{type(self.model).__name__} ended without reaching its layer {depth}; choose another")


def _stop(layer: nn.Module, args: tuple, kwargs: dict[str, Any]) -> None:
    raise _Reached(args[0] if args else kwargs["hidden_states"])


def matrices(leaf: nn.Module) -> list[str]:
    """Names of a leaf's matrices that are no Linear layer's: those of experts (E, …), and of GPT-2's Conv1D."""
    if type(leaf).__name__ == "Conv1D":
        return ["weight"]
    if isinstance(leaf, nn.modules.conv._ConvNd):
        return []
    return [name for name, weight in leaf.named_parameters(recurse=False) if weight.dim() > 2]
