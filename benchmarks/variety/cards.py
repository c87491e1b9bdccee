"""Pictures whose prompts leave something open: place, size and colour behind an object, or which of a kind it is.

Everything is drawn from a table of all pictures that there are, so the table is the judge too.
"""

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ...training.data.batches import EMPTY
from ...training.data.emoji.concepts import COLOURS
from ...training.data.emoji.pictures import WHITE
from ..shared.truth import Truth

SIDE = 64
PLACES = [(32, y, x) for y in range(0, 33, 8) for x in range(0, 33, 8)]
PLACES += [(48, y, x) for y in range(0, 17, 8) for x in range(0, 17, 8)] + [(64, 0, 0)]
"""Size of an object and its corner, in pixels."""
BEHIND = [WHITE, *COLOURS.values()]
KINDS = {"animal": range(24), "plant": range(24, 36), "food": range(36, 44), "thing": range(44, 60)}
"""A word for several concepts → which; a kind's prompt says no more than that."""
KIND_SHARE = 0.25  # of the captions


class Cards:
    """All pictures (concepts, places, colours, 3, 64, 64) in [-1, 1], their prompts, and random ones of them."""

    def __init__(self, truth: Truth, device: torch.device, dtype: torch.dtype = torch.float16, every: int = 1):
        concepts = list(range(0, len(truth.emoji), every))
        row = {concept: i for i, concept in enumerate(concepts)}
        kinds = {word: [row[i] for i in which if i in row] for word, which in KINDS.items()}
        kinds = {word: which for word, which in kinds.items() if len(which) > 1}
        self.names = [truth.name(i, "en") for i in concepts]
        self.prompts = [*self.names, *kinds, ""]
        self.members: list[Sequence[int]] = [*([i] for i in row.values()), *kinds.values(), list(row.values())]
        most = max(map(len, self.members))
        padded = [[which[i % len(which)] for i in range(most)] for which in self.members]
        self.member = torch.tensor(padded, device=device)
        self.counts = torch.tensor([len(which) for which in self.members], device=device)
        self.kinds = len(kinds)
        self.device = device
        self.pictures = self.compose(truth, concepts, dtype)

    def compose(self, truth: Truth, concepts: list[int], dtype: torch.dtype) -> Tensor:
        """Lay every concept on every colour at every place."""
        out = torch.empty(len(concepts), len(PLACES), len(BEHIND), 3, SIDE, SIDE, dtype=dtype, device=self.device)
        colours = torch.tensor(BEHIND, device=self.device).float().view(1, -1, 3, 1, 1)
        for i, (size, top, left) in enumerate(PLACES):
            rgba = torch.from_numpy(np.ascontiguousarray(truth.rgba(size)[concepts])).to(self.device).float()
            rgba = F.pad(rgba.permute(0, 3, 1, 2), (left, SIDE - size - left, top, SIDE - size - top))
            alpha = rgba[:, None, 3:] / 255
            out[:, i] = ((rgba[:, None, :3] * alpha + colours * (1 - alpha)).round() / 127.5 - 1).to(dtype)
        return out

    def draw(self, count: int, empty: float = EMPTY) -> tuple[Tensor, Tensor]:
        """Return random pictures (B, 3, 64, 64) in float32 and their prompts (B,), of which a part is empty."""
        prompts = self.choose(count, empty)
        return self.pictures.flatten(0, 2)[self.any_of(prompts)].float(), prompts

    def choose(self, count: int, empty: float = EMPTY) -> Tensor:
        """Return random prompts (B,): names, kinds, or the empty one, which stands for any picture."""
        names, device = len(self.names), self.device
        name = torch.randint(names, (count,), device=device)
        kind = torch.randint(names, names + self.kinds, (count,), device=device)
        prompts = torch.where(torch.rand(count, device=device) < KIND_SHARE, kind, name)
        return torch.where(torch.rand(count, device=device) < empty, len(self.prompts) - 1, prompts)

    def any_of(self, prompts: Tensor) -> Tensor:
        """Return the number of a random picture of each prompt (B,)."""
        member = (torch.rand(len(prompts), device=self.device) * self.counts[prompts]).long()
        each = len(PLACES) * len(BEHIND)
        return self.member[prompts, member] * each + torch.randint(each, (len(prompts),), device=self.device)

    def nearest(self, samples: Tensor) -> tuple[Tensor, Tensor]:
        """Return the number of the nearest of all pictures to each sample (B, 3, 64, 64), and the PSNR to it in dB."""
        true = self.pictures.flatten(0, 2).flatten(1)
        squares = torch.cat([part.float().square().sum(1) for part in true.split(4096)])
        found, errors = [], []
        for part in samples.clamp(-1, 1).flatten(1).float().split(256):
            # differences of squares in half precision would be as large as what tells pictures apart
            product = torch.cat([part @ rows.float().T for rows in true.split(2048)], dim=1)
            distance = part.square().sum(1, keepdim=True) - 2 * product + squares
            least = distance.min(1)
            found.append(least.indices)
            errors.append(least.values.clamp(min=1e-3) / true.shape[1])
        return torch.cat(found), 10 * torch.log10(4 / torch.cat(errors))

    def parts(self, found: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return concept, place and colour of numbers of pictures."""
        colours, places = len(BEHIND), len(PLACES)
        return found // (places * colours), found // colours % places, found % colours
