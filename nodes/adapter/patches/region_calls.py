"""What becomes of a call of a MODEL whose conditioning has regional prompts.

The way in is `control`, which core asks before each call of whatever model samples a conditioning, as it asks a
ControlNet: that one is a run's only door that a conditioning can bring along and that leaves the loading of weights as
it is (with hooks, ComfyUI gives up its dynamic VRAM). It controls nothing, but puts a wrapper around that call.
"""

from collections.abc import Iterator
from dataclasses import replace

from comfy.controlnet import ControlBase
from comfy.patcher_extension import WrappersMP

from ....nextdit.span import NEVER
from ..host.core_attention import check_main_layers
from ..host.core_families import FAMILIES, family_of, listed
from ..host.core_regions import REGIONS
from .joint_regions import run_joint
from .model_call import ModelCall, Text, in_areas, put_first, run_areas
from .region_prompts import KEY, MASKS, AskedRegions


class RegionControl(ControlBase):
    """Puts `run_call` around the calls of a conditioning with regional prompts."""

    def pre_run(self, model, percent_to_timestep_function) -> None:
        super().pre_run(model, percent_to_timestep_function)
        check_model(model)

    def get_control(self, x_noisy, t, cond, batched_number, transformer_options):
        if KEY in cond:
            put_first(transformer_options, WrappersMP.APPLY_MODEL, KEY, run_call)
        if self.previous_controlnet is None:
            return None
        return self.previous_controlnet.get_control(x_noisy, t, cond, batched_number, transformer_options)

    def copy(self) -> "RegionControl":
        copied = RegionControl()
        self.copy_to(copied)
        return copied

    def deepclone_multigpu(self, load_device, autoregister=False) -> "RegionControl":
        copied = self.copy()
        if autoregister:
            self.multigpu_clones[load_device] = copied
        return copied


CONTROL = RegionControl()
"""One for all conditionings, since core only batches what has the same."""


def with_control(options: dict) -> dict:
    """Return a conditioning's options with the control that regional prompts need, behind those that it has."""
    found = options.get("control")
    if any(isinstance(control, RegionControl) for control in _chain(found)):
        return options
    return options | {"control": CONTROL if found is None else RegionControl().set_previous_controlnet(found)}


def _chain(control: ControlBase | None) -> Iterator[ControlBase]:
    while control is not None:
        yield control
        control = getattr(control, "previous_controlnet", None)


def check_model(model) -> None:
    """Raise ValueError, naming what can be sampled, for a model that takes no regional prompts."""
    network = model.diffusion_model
    family = family_of(network)
    if getattr(network, "takes_regions", False):
        return
    if family is not None and not family.regions_closed_in(network):
        check_main_layers(REGIONS, family)
        return
    known = listed(family for family in FAMILIES if not family.regions_closed)
    why = "" if family is None else f" ({family.name}: {family.regions_closed_in(network)})"
    raise ValueError(
        "this conditioning has regional prompts, which Lumina-Next's models of pictures, clips and sounds from text "
        f"and, of ComfyUI's own, {known} read, but the model being sampled is a {type(model).__name__}{why}; use "
        "ComfyUI's Conditioning (Set Mask) and Conditioning (Combine) with it, or remove the Regional Prompt node"
    )


def run_call(executor, x, t, c_concat=None, c_crossattn=None, control=None, transformer_options=None, **kwargs):
    """Run a call with regional prompts: the APPLY_MODEL wrapper that RegionControl puts around it."""
    asked = kwargs.pop(KEY)
    call = ModelCall(executor, x, t, c_concat, control, dict(transformer_options or {}), kwargs)
    if asked is None:
        return call.run(c_crossattn, **{KEY: None})
    if isinstance(asked, AskedRegions):
        return run_joint(call, asked, c_crossattn)
    masks = kwargs.pop(MASKS)
    if in_areas(call, asked):
        mask = kwargs.get("attention_mask")
        texts = [
            Text(c_crossattn[:, span], {"attention_mask": None if mask is None else mask[:, span]})
            for span in asked.spans()
        ]
        return run_areas(call, texts, asked, masks)
    return call.run(c_crossattn, **{KEY: replace(asked, areas=NEVER), MASKS: masks})
