"""The columns of the composition matrix; see matrix.py."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import comfy.hooks
import comfy.model_management
import comfy.samplers
import comfy.sd
import pytest
import torch
from comfy.ldm.modules import attention

from lumina_next.nextdit.lora.convert import convert

from .matrix import SIZE, Column, Setup, loader_of, patching
from .patch_models import compiled, prompt

REGION = torch.zeros(1, *SIZE)
REGION[..., :12] = 1.0


def node(module: str, name: str, *inputs, **options):
    """Return what applies a stock node with these inputs to a model."""

    def patch(model):
        cls = getattr(__import__(f"comfy_extras.{module}", fromlist=[name]), name)
        if hasattr(cls, "FUNCTION"):
            return getattr(cls(), cls.FUNCTION)(model, *inputs, **options)[0]
        return cls.execute(model, *inputs, **options).result[0]

    return patching(patch)


def lora_weights() -> dict[str, torch.Tensor]:
    """Return a LoRA on two modules, in diffusers' naming."""
    generator = torch.Generator().manual_seed(5)

    def factor(*shape: int) -> torch.Tensor:
        return 0.3 * torch.randn(shape, generator=generator)

    names = {"layers.0.attn1.to_k": (32, 64), "layers.1.feed_forward.linear_1": (96, 64)}
    return {
        f"transformer.{name}.lora_{side}.weight": factor(*((out, 4) if side == "B" else (4, inner)))
        for name, (out, inner) in names.items()
        for side in "AB"
    }


def with_lora(model):
    shapes = {key: tuple(x.shape) for key, x in model.model.diffusion_model.state_dict().items()}
    return comfy.sd.load_lora_for_models(model, None, convert(lora_weights(), shapes).weights, 1.0, 0.0)[0]


def other_model(like):
    """Return a MODEL of the same kind with other weights."""
    model = loader_of(like)()
    weights = model.model.diffusion_model.state_dict()
    model.model.diffusion_model.load_state_dict({key: 1.3 * x for key, x in weights.items()})
    return model


def fp8(setup: Setup) -> Setup:
    """Put fp8 weights under the same patches, as the loader's fp8 option does."""
    weights = loader_of(setup.model)().model.diffusion_model.state_dict()
    small = comfy.sd.load_diffusion_model_state_dict(weights, {"dtype": torch.float8_e4m3fn})
    return replace(setup, model=transplant(setup.model, small))


def transplant(patched, fresh):
    """Return a clone of a patched MODEL around the network of another one."""
    clone = fresh.clone()
    clone.model_options = patched.clone().model_options
    for kind, keyed in patched.wrappers.items():
        for key, wrappers in keyed.items():
            for wrapper in wrappers:
                clone.add_wrapper_with_key(kind, key, wrapper)
    return clone


def hooked(setup: Setup) -> Setup:
    """Put a LoRA on the conditioning by a hook, for the second half of the steps."""
    shapes = {key: tuple(x.shape) for key, x in setup.model.model.diffusion_model.state_dict().items()}
    hooks = comfy.hooks.create_hook_lora(convert(lora_weights(), shapes).weights, 1.0, 0.0)
    frames = comfy.hooks.HookKeyframeGroup()
    frames.add(comfy.hooks.HookKeyframe(strength=0.0, start_percent=0.0))
    frames.add(comfy.hooks.HookKeyframe(strength=1.0, start_percent=0.5))
    hooks.set_keyframes_on_hooks(frames)
    conds = [comfy.hooks.set_hooks_for_conditioning(cond, hooks=hooks) for cond in (setup.positive, setup.negative)]
    model = setup.model.clone()
    model.cached_patcher_init = (loader_of(model), ())
    return replace(setup, model=model, positive=conds[0], negative=conds[1])


def first_of_batch(setup: Setup) -> torch.Tensor:
    both = replace(setup, batch=2).run()
    assert not torch.allclose(both[: setup.views], both[setup.views :])
    return both[: setup.views]


def mixed_prompts(setup: Setup) -> torch.Tensor:
    """Sample two pictures with a prompt each; both must be as with their prompt alone."""
    ((first, options),), ((second, _),) = setup.positive, prompt(6, 9)
    masks = {"attention_mask": torch.ones(2, 6, dtype=torch.long)}
    both = replace(setup, batch=2, positive=[[torch.cat([first, second]), options | masks]]).run()
    alone = replace(setup, batch=2, positive=[[second, options]]).run()
    torch.testing.assert_close(both[setup.views :], alone[setup.views :], atol=1e-3, rtol=1e-3)
    return both[: setup.views]


def two_samplers(setup: Setup) -> torch.Tensor:
    """Sample in two nodes, the second one going on where the first stopped."""
    half = len(setup.sigmas) // 2
    samples = replace(setup, sigmas=setup.sigmas[: half + 1]).run()
    # zeros are what DisableNoise hands the second sampler
    return replace(setup, sigmas=setup.sigmas[half:]).go_on(torch.zeros_like(samples), samples)


def perp_neg(setup: Setup):
    from comfy_extras.nodes_perpneg import PerpNegGuider

    empty = setup.condition(prompt(2, 3))
    return PerpNegGuider.execute(setup.model, setup.positive, setup.negative, empty, setup.cfg, 1.0).result[0]


def saved(setup: Setup) -> Setup:
    """Save the model as ModelSave does, and put what core loads of the file under the same patches."""
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "saved.safetensors")
        comfy.sd.save_checkpoint(path, setup.model)
        return replace(setup, model=transplant(setup.model, comfy.sd.load_diffusion_model(path)))


@contextmanager
def backend(name: str) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(attention, "optimized_attention", getattr(attention, name))
        yield


@contextmanager
def budget(memory: float) -> Iterator[None]:
    """Give every model that is loaded only so many bytes on its device: the rest is cast at use."""
    left: list[int] = []
    load = comfy.model_management.LoadedModel.model_load

    def model_load(self, lowvram_model_memory=0, force_patch_weights=False):
        loaded = load(self, memory, force_patch_weights)
        left.append(sum(bool(getattr(m, "comfy_cast_weights", False)) for m in self.model.model.modules()))
        return loaded

    comfy.model_management.unload_all_models()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(comfy.model_management.LoadedModel, "model_load", model_load)
        yield
    comfy.model_management.unload_all_models()
    assert left and all(left), "nothing was left behind"


@contextmanager
def dynamo() -> Iterator[None]:
    with backend("attention_pytorch"), torch._dynamo.config.patch(fail_on_recompile_limit_hit=True):
        yield


def conditioned(**extra):
    return lambda setup: replace(setup, positive=setup.positive + setup.condition(prompt(4, 2, **extra)))


def merge(model):
    from comfy_extras.nodes_model_merging import ModelMergeSimple

    return ModelMergeSimple().merge(model, other_model(model), 0.5)[0]


def half(model):
    clone = model.clone()
    clone.set_model_compute_dtype(torch.bfloat16)
    return clone


def shifted(setup: Setup) -> Setup:
    """Shift a scheduler's sigmas; those of Flow Schedule are as they are, and the shift is no concern of theirs."""
    from comfy_extras.nodes_model_advanced import ModelSamplingAuraFlow

    (model,) = ModelSamplingAuraFlow().patch_aura(setup.model, 3.0)
    sigmas = comfy.samplers.calculate_sigmas(model.get_model_object("model_sampling"), "simple", len(setup.sigmas) - 1)
    return replace(setup, model=model, sigmas=sigmas)


COLUMNS = [
    Column("LoRA", "acts", "a LoRA in diffusers' naming, strength 1", patching(with_lora)),
    Column("LoRA hook", "acts", "the same as a hook that sets in at half of the steps", hooked),
    Column("model merge", "acts", "Model Merge Simple, one half each", patching(merge)),
    Column("ModelSave", "same", "saved, and loaded by Load Diffusion Model", saved),
    Column("fp8 weights", "near", "fp8_e4m3fn", fp8),
    Column("--lowvram", "same", "some of the weights fit, the rest is cast at use", around=lambda: budget(100_000)),
    Column("--novram", "same", "no weights fit", around=lambda: budget(0.1)),
    Column("torch.compile", "same", "compiled after the node", patching(compiled), dynamo),
    *(
        Column(f"{name} attention", "same", f"`{flag}`", around=lambda function=function: backend(function))
        for name, flag, function in (
            ("PyTorch", "--use-pytorch-cross-attention", "attention_pytorch"),
            ("sub-quadratic", "--use-quad-cross-attention", "attention_sub_quad"),
            ("split", "--use-split-cross-attention", "attention_split"),
        )
    ),
    Column("EasyCache", "acts", "eager (threshold 9)", node("nodes_easycache", "EasyCacheNode", 9.0, 0.0, 1.0, False)),
    Column("batch", "same", "a batch of two: its first picture", run=first_of_batch),
    Column("mixed prompts", "same", "a batch of two with a prompt each: both pictures", run=mixed_prompts),
    Column("two samplers", "same", "half of the steps in each", run=two_samplers),
    Column("RenormCFG", "acts", "defaults", node("nodes_lumina2", "RenormCFG", 100.0, 1.0)),
    Column("RescaleCFG", "acts", "multiplier 0.7", node("nodes_model_advanced", "RescaleCFG", 0.7)),
    Column("APG", "acts", "eta 0, threshold 5, momentum -0.5", node("nodes_apg", "APG", 0.0, 5.0, -0.5)),
    Column("CFG-Zero*", "acts", "CFGZeroStar", node("nodes_cfg", "CFGZeroStar")),
    Column("Perp-Neg Guider", "acts", "scale 1", lambda setup: replace(setup, guider=perp_neg)),
    Column("timestep range", "acts", "a second prompt for the last half", conditioned(start_percent=0.5)),
    Column("area", "acts", "a second prompt on the upper half", conditioned(area=(12, 24, 0, 0), strength=1.0)),
    Column("mask", "acts", "a second prompt on the left half", conditioned(mask=REGION, mask_strength=1.0)),
    Column("noise mask", "acts", "inpainting of the left half", lambda s: replace(s, mask=REGION[None])),
    Column(
        "differential diffusion",
        "acts",
        "a grey noise mask",
        lambda s: node("nodes_differential_diffusion", "DifferentialDiffusion")(
            replace(s, mask=torch.linspace(0, 1, SIZE[1]).expand(1, 1, *SIZE))
        ),
    ),
    Column("time shift", "acts", "ModelSamplingAuraFlow, 3", shifted),
    Column("bfloat16", "near", "ModelComputeDtype", patching(half)),
]
