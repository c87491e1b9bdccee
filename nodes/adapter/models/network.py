"""The call that ComfyUI makes of a network, mixed into those of nextdit."""

import dataclasses

import torch
from comfy.patcher_extension import WrapperExecutor, WrappersMP, get_all_wrappers
from torch import Tensor

from ....nextdit.call import Call
from ....nextdit.family import Family
from ..host.attention import core_attend
from .quantised import refuse_left_over


class OwnNetwork:
    """The call that ComfyUI makes, mixed into a network of nextdit: `_forward` gets its sigma, and gives −velocity.

    `train_tokens` is the tokens per side that the checkpoint says it was trained with, `train_frames` the frames of a
    clip, None if it does not say.
    The pack's patch nodes add `rope`, `drop` and `dropped_layers` to the call: as arguments, since core's compile node
    does not notice when transformer_options change.
    """

    family: Family

    def __init__(
        self, image_model=None, dtype=None, device=None, operations=None, train_tokens=None, train_frames=None, **fields
    ):
        """Build as core does, with what detection found."""
        own = {field.name for field in dataclasses.fields(self.family.config)}  # of audio, frames are the config's
        said = {"train_tokens": train_tokens, "train_frames": train_frames}
        config = self.family.config(**fields, **{name: value for name, value in said.items() if name in own})
        super().__init__(config, device=device, dtype=dtype, operations=operations)
        self.dtype = dtype
        self.train_tokens, self.train_frames = train_tokens, train_frames
        self.patch_size = self.config.patch_size
        self.in_channels = self.config.in_channels

    def load_state_dict(self, state_dict, strict=True, assign=False):
        """Load as torch does; what stands beside quantised weights and no layer reads is an error, strict or not."""
        found = super().load_state_dict(state_dict, strict=strict, assign=assign)
        refuse_left_over(found.unexpected_keys)
        return found

    def forward(self, x, timesteps, context, attention_mask=None, control=None, transformer_options={}, **kwargs):  # noqa: B006 - ComfyUI's signature
        return WrapperExecutor.new_class_executor(
            self._forward, self, get_all_wrappers(WrappersMP.DIFFUSION_MODEL, transformer_options)
        ).execute(x, timesteps, context, attention_mask, control, transformer_options, **kwargs)

    def call_for(self, x: Tensor, transformer_options: dict, kwargs: dict) -> Call:
        """Return what the pack's and other nodes' patches ask of nextdit's velocity, for latents x (…, H, W)."""
        return Call(
            rope=kwargs.get("rope"),
            drop=kwargs.get("drop"),
            dropped_layers=kwargs.get("dropped_layers", 0),
            attend=core_attend(transformer_options),
            replace=block_replacements(transformer_options),
            positions=self.shifted_positions(x, transformer_options.get("rope_options")),
        )

    def shifted_positions(self, x: Tensor, options: dict | None) -> list[Tensor] | None:
        """Return the RoPE positions that core's Scale RoPE node asks for, None if it asks for nothing."""
        if options is None:
            return None
        if self.axes.in_line:
            raise ValueError(
                "this model counts its patches in one line, row after row, so it has no rows and columns for ComfyUI's "
                "Scale ROPE to move: remove the node"
            )
        p = self.config.patch_size
        sizes = zip(("y", "x"), (-(-x.shape[-2] // p), -(-x.shape[-1] // p)), strict=True)
        return [
            torch.arange(n, device=x.device) * options.get(f"scale_{axis}", 1.0) + options.get(f"shift_{axis}", 0.0)
            for axis, n in sizes
        ]


def block_replacements(transformer_options: dict) -> dict:
    """Return nextdit's replacements for the blocks that other nodes replace (SkipLayerGuidanceDiT and its like)."""
    found = transformer_options.get("patches_replace", {}).get("dit", {})

    def wrap(patch):
        def run_patch(tokens, run):
            args = {"img": tokens, "transformer_options": transformer_options}
            return patch(args, {"original_block": lambda args: {"img": run(args["img"])}})["img"]

        return run_patch

    return {key[1]: wrap(patch) for key, patch in found.items() if key[0] == "double_block"}
