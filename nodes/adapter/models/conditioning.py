"""Text features and masks as ComfyUI conds that share a batch whatever their lengths."""

import comfy.conds
import torch
import torch.nn.functional as F
from torch import Tensor


class PaddedText(comfy.conds.CONDRegular):
    """A cond (B, L, …) that is padded with zeros along L to the longest of its batch.

    Core's own text cond repeats tokens up to a common length, which changes what masked attention sees.
    """

    def can_concat(self, other) -> bool:
        return self.cond.shape[2:] == other.cond.shape[2:] and self.cond.device == other.cond.device

    def concat(self, others) -> Tensor:
        conds = [self.cond, *(other.cond for other in others)]
        longest = max(cond.shape[1] for cond in conds)
        pad = [(0, 0) * (cond.ndim - 2) + (0, longest - cond.shape[1]) for cond in conds]
        return torch.cat([F.pad(cond, p) for cond, p in zip(conds, pad, strict=True)])


class TextMask(PaddedText):
    """A text's mask (B, L), which the network does not get where every token of a batch counts.

    That is found out when it is made, once a run and in the CPU's memory: each call would have to wait for the GPU.
    """

    def __init__(self, cond: Tensor, whole: bool | None = None):
        super().__init__(cond)
        self.whole = bool(cond.all()) if whole is None else whole

    def _copy_with(self, cond: Tensor):
        return type(self)(cond, self.whole)

    def concat(self, others) -> Tensor | None:
        masks = [self, *others]
        if all(mask.whole and mask.cond.shape[1] == self.cond.shape[1] for mask in masks):
            return None
        return super().concat(others)


def text_conds(features: Tensor, mask: Tensor | None) -> dict[str, PaddedText]:
    """Return the conds of text features (B, L, D) and their mask (B, L).

    Always both, since ComfyUI only batches conds with the same keys. Stock nodes change the length of the features
    and leave the mask as it was: what the mask lacks counts, what it has too much is cut.
    """
    if mask is None:
        mask = torch.ones(features.shape[:2], device=features.device)
    mask = mask.to(features.device, torch.long)
    missing = features.shape[1] - mask.shape[1]
    mask = F.pad(mask, (0, missing), value=1)  # a negative pad cuts
    return {
        "c_crossattn": PaddedText(features),
        "attention_mask": TextMask(mask.expand(features.shape[0], -1)),
    }
