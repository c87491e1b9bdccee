"""The three kinds of small random MODELs that patch nodes are tested on, and one way to sample all of them."""

import comfy.sample
import comfy.sd
import torch

from lumina_next.nextdit import NextDiT, NextDiTConfig

from .core_models import CORE, load_core

OWN = NextDiTConfig(dim=64, n_layers=3, n_heads=4, n_kv_heads=2, text_dim=20, ffn_dim=96)
KINDS = ["lumina_next", *CORE]


def load_own(config: NextDiTConfig = OWN, metadata: dict | None = None, network=NextDiT):
    """Return the MODEL of a random Next-DiT, or of a variant of it, loaded by core's loader."""
    torch.manual_seed(0)
    weights = {key: 0.15 * torch.randn(x.shape) for key, x in network(config).state_dict().items()}
    return comfy.sd.load_diffusion_model_state_dict(weights, **({"metadata": metadata} if metadata else {}))


def load(kind: str):
    """Return the MODEL of one of KINDS."""
    return load_own() if kind == "lumina_next" else load_core(CORE[kind])


def prompt(length: int, seed: int = 0, width: int = 20, rows: int = 1, **extra) -> list:
    """Return a CONDITIONING of random features (rows, length, width)."""
    features = torch.randn(rows, length, width, generator=torch.Generator().manual_seed(seed))
    return [[features, {"attention_mask": torch.ones(rows, length, dtype=torch.long), **extra}]]


def sample(
    model, size=(24, 40), steps=2, cfg=4.0, positive=None, negative=None, batch=1, latent=None, denoise=1.0
) -> torch.Tensor:
    """Sample a latent of `size` from fixed noise, or go on from a latent by `denoise`."""
    channels = model.get_model_object("latent_format").latent_channels
    latent = torch.zeros(batch, channels, *size) if latent is None else latent
    return comfy.sample.sample(
        model,
        comfy.sample.prepare_noise(latent, 7),
        steps,
        cfg,
        "euler",
        "simple",
        positive or prompt(6),
        negative or prompt(6, 1),
        latent,
        denoise=denoise,
        seed=7,
        disable_pbar=True,
    )


def spied(model, kind: str, look):
    """Return a clone of a MODEL that calls look(executor, *args, **kwargs) before every wrapped call of a kind."""

    def wrapper(executor, *args, **kwargs):
        look(executor, *args, **kwargs)
        return executor(*args, **kwargs)

    clone = model.clone()
    clone.add_wrapper_with_key(kind, "spy", wrapper)
    return clone


def compiled(model):
    """Return a clone as core's TorchCompileModel makes it, but for the backend, which here runs the graph as it is."""
    from comfy_api.torch_helpers import set_torch_compile_wrapper
    from comfy_extras.nodes_torch_compile import skip_torch_compile_dict

    clone = model.clone()
    set_torch_compile_wrapper(model=clone, backend="eager", options={"guard_filter_fn": skip_torch_compile_dict})
    return clone
