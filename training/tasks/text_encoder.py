"""Stage 2, `python -m lumina_next.training.tasks.text_encoder`: a small Gemma that knows the concepts everywhere.

Contrastive, every caption against one learned anchor a concept, plus next-token prediction; the features are
taken where the Next-DiT takes them, at `hidden_states[-2]`.
"""

import argparse
import copy
import json
import random
import time
from collections.abc import Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from tokenizers import Tokenizer
from torch import Tensor, nn
from tqdm import tqdm
from transformers import GemmaConfig, GemmaForCausalLM

from ...nextdit.layers.tokens import masked_mean
from ..data.emoji.concepts import COLOURS
from ..data.emoji.prepare import default_cache
from ..data.text.texts import Texts
from ..data.text.tokenizer import train_tokenizer
from ..loop.optimisation import Warmup

LAYER = -2
VOCABULARY = 13000
MAX_TOKENS = 32
DROPOUT = 0.3  # of BPE's merges, in captions that are not the demo's own


def language_model(vocabulary: int, width: int = 128, layers: int = 4) -> GemmaForCausalLM:
    """Return an untrained stock Gemma of the demo's size."""
    return GemmaForCausalLM(
        GemmaConfig(
            vocab_size=vocabulary,
            hidden_size=width,
            intermediate_size=3 * width,
            num_hidden_layers=layers,
            num_attention_heads=4,
            num_key_value_heads=2,
            head_dim=width // 4,
            max_position_embeddings=256,
            pad_token_id=0,
            eos_token_id=1,
            bos_token_id=2,
        )
    )


class Slots(nn.Module):
    """Read the mean feature: which concept is first (left), which second (or none), which background."""

    def __init__(self, width: int, concepts: int):
        super().__init__()
        self.anchors = nn.Parameter(torch.randn(concepts + 1, width))  # the last: none
        self.first, self.second = nn.Linear(width, width), nn.Linear(width, width)
        self.colour = nn.Linear(width, len(COLOURS) + 1)
        self.scale = nn.Parameter(torch.tensor(2.5))

    @torch.no_grad()
    def begin_at(self, means: Tensor) -> None:
        """Take the mean features (concepts, width) of names as the concepts' anchors, for a model that knows them."""
        centre = means.mean(0)
        self.first.weight.copy_(torch.eye(len(centre)))
        self.first.bias.copy_(-centre)
        self.anchors[:-1] = means - centre

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        anchors, scale = F.normalize(self.anchors, dim=-1), self.scale.exp()
        first, second = (F.normalize(read(features), dim=-1) @ anchors.T * scale for read in (self.first, self.second))
        return first, second, self.colour(features)


def token_batch(tokenizer, texts: Sequence[str], loose: Sequence[bool] = ()) -> tuple[Tensor, Tensor]:
    """Return ids and mask (B, L) of texts, BOS first, padded on the right.

    The `loose` ones are cut with BPE dropout (Provilkov et al. 2020, arXiv 1910.13267): a word in other pieces every
    time teaches what the pieces mean, and so the words of other languages that share them.
    """
    cut = [tokenizer.encode(text).ids for text in texts]
    if any(loose):
        tokenizer.model.dropout = DROPOUT
        cut = [tokenizer.encode(text).ids if free else ids for text, free, ids in zip(texts, loose, cut, strict=True)]
        tokenizer.model.dropout = None
    rows = [ids[:MAX_TOKENS] for ids in cut]
    ids = torch.zeros(len(rows), max(map(len, rows)), dtype=torch.long)
    for row, tokens in zip(ids, rows, strict=True):
        row[: len(tokens)] = torch.tensor(tokens)
    return ids, ids != 0


def by_length(ids: Tensor, mask: Tensor, *others: Tensor, parts: int = 4) -> list[tuple[Tensor, ...]]:
    """Split a batch into parts of like length, each cut to its longest: most captions are short."""
    rows = mask.sum(1).argsort().chunk(parts)
    longest = [int(mask[row].sum(1).max()) for row in rows]
    return [(ids[row, :n], mask[row, :n], *(x[row] for x in others)) for row, n in zip(rows, longest, strict=True)]


def hidden(model: GemmaForCausalLM, ids: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """Return the features (B, L, width) that the Next-DiT gets, float32, and the last states, for the word loss."""
    states = model.model(ids, attention_mask=mask.long(), output_hidden_states=True)
    return states.hidden_states[LAYER].float(), states.last_hidden_state


@torch.no_grad()
def name_features(model: GemmaForCausalLM, tokenizer: Tokenizer, names: list[str]) -> Tensor:
    """Return the mean features (N, width) of N names."""
    ids, mask = (x.to(model.device) for x in token_batch(tokenizer, names))
    return masked_mean(hidden(model, ids, mask)[0], mask)


def moved(features: Tensor, teacher: GemmaForCausalLM, ids: Tensor, mask: Tensor, own: Tensor) -> Tensor:
    """Return how far the features of the demo's own captions are from the teacher's: squared, relative."""
    with torch.no_grad():
        target = hidden(teacher, ids[own], mask[own])[0]
    counted = mask[own][..., None].float()
    return ((features[own] - target).square() * counted).sum() / (target.square() * counted).sum().clamp(min=1e-6)


def losses(
    model: GemmaForCausalLM,
    slots: Slots,
    teacher: GemmaForCausalLM | None,
    ids: Tensor,
    mask: Tensor,
    meant: Tensor,
    targets: Tensor,
    own: Tensor,
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the contrastive loss of a batch, the language-model loss of its first eighth, and what `moved` says.

    meant (B, concepts + 1) are the probabilities of the first concept, targets (B, 2) second concept and colour, own
    (B,) tells the demo's own captions.
    """
    features, last = hidden(model, ids, mask)
    mean = masked_mean(features, mask)
    first, second, colour = (
        F.cross_entropy(logits, target) for logits, target in zip(slots(mean), (meant, *targets.T), strict=True)
    )
    contrastive = first + 0.5 * second + 0.5 * colour
    few = max(1, len(ids) // 8)
    logits = model.lm_head(last[:few, :-1])
    following = ids[:few, 1:].masked_fill(~mask[:few, 1:], -100)
    words = F.cross_entropy(logits.flatten(0, 1).float(), following.flatten(), ignore_index=-100)
    held = moved(features, teacher, ids, mask, own) if teacher and own.any() else features.new_zeros(())
    return contrastive, words, held


def start(texts: Texts, corpus: list, chance: random.Random) -> tuple[GemmaForCausalLM, Tokenizer]:
    """Return an untrained model and the tokenizer made for its texts."""
    lines = [word for _, _, words in corpus for word in words] + [e for e in texts.number for _ in range(3)]
    lines += [texts.captions.draw(kind, chance).text for kind in ("background", "pair") for _ in range(5000)]
    tokenizer = train_tokenizer(lines, VOCABULARY)
    return language_model(tokenizer.get_vocab_size()), tokenizer


def train(options: argparse.Namespace) -> None:
    """Train tokenizer and model on the prepared data and write an HF folder."""
    torch.manual_seed(options.seed)
    chance, device = random.Random(options.seed), options.device
    names = ("concepts.json", "corpus.json")
    table, corpus = (json.loads((options.cache / name).read_text("utf-8")) for name in names)
    texts = Texts(table, corpus)
    if options.start:
        model = GemmaForCausalLM.from_pretrained(options.start, dtype=torch.float32)
        tokenizer = Tokenizer.from_file(str(options.start / "tokenizer.json"))
    else:
        model, tokenizer = start(texts, corpus, chance)
    model, alike = model.to(device), texts.likeness()
    teacher = copy.deepcopy(model).eval().requires_grad_(False) if options.hold else None
    slots = Slots(model.config.hidden_size, len(texts.number)).to(device)
    if options.start:
        slots.begin_at(name_features(model, tokenizer, texts.names("en")))
    parameters = [*model.parameters(), *slots.parameters()]
    optimizer = torch.optim.AdamW(parameters, lr=options.rate, betas=(0.9, 0.98), weight_decay=0.01)
    schedule, began = Warmup(60, cooldown=0.6), time.monotonic()
    progress = tqdm(range(options.steps), desc="text encoder", mininterval=5)
    for step in progress:
        spent = max(step / options.steps, (time.monotonic() - began) / (60 * options.minutes))
        if spent >= 1:
            break
        for group in optimizer.param_groups:
            group["lr"] = options.rate * schedule(step, spent)
        drawn, meant, own = zip(*(texts.draw(chance) for _ in range(options.batch)), strict=True)
        ids, mask = token_batch(tokenizer, [caption.text for caption in drawn], [not x for x in own])
        second = [caption.concepts[1] if len(caption.concepts) > 1 else len(texts.number) for caption in drawn]
        targets = torch.tensor([second, [caption.colour + 1 for caption in drawn]]).T
        optimizer.zero_grad()
        for part in by_length(ids, mask, texts.targets(list(meant), alike), targets, torch.tensor(own)):
            with torch.autocast(device, torch.bfloat16):
                contrastive, following, held = losses(model, slots, teacher, *(x.to(device) for x in part))
            loss = contrastive + 0.1 * following + options.hold * held
            (loss * len(part[0]) / options.batch).backward()
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        if step % 20 == 0:
            shown = {"contrastive": contrastive, "words": following, "moved": held}
            progress.set_postfix({name: f"{value.item():.3f}" for name, value in shown.items()})
    save(model, tokenizer, options.out)


def save(model: GemmaForCausalLM, tokenizer: Tokenizer, out: Path) -> None:
    """Write config.json, model.safetensors (bfloat16), tokenizer.json and tokenizer_config.json."""
    model.cpu().bfloat16().save_pretrained(out)
    tokenizer.save(str(out / "tokenizer.json"))
    config = json.loads((out / "config.json").read_text("utf-8"))
    # as transformers 4 names them, so that older releases read the same numbers
    config |= {"rope_theta": config.get("rope_theta", 10000.0), "torch_dtype": "bfloat16"}
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", "add_bos_token": True, "model_max_length": 256}
    settings |= {f"{name}_token": f"<{name}>" for name in ("pad", "eos", "bos", "unk")}
    for name, content in (("config.json", config), ("tokenizer_config.json", settings)):
        (out / name).write_text(json.dumps(content, indent=2) + "\n", "utf-8")


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cache", type=Path, default=default_cache(), help="what stage 1 wrote")
    parser.add_argument("--out", type=Path, required=True, help="folder to write")
    parser.add_argument("--start", type=Path, help="folder of an earlier result to go on from (default: untrained)")
    parser.add_argument(
        "--hold", type=float, default=0.0, help="weight on keeping --start's features for the demo's own captions"
    )
    parser.add_argument("--steps", type=int, default=4000)
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--rate", type=float, default=3e-3, help="learning rate")
    parser.add_argument("--minutes", type=float, default=10, help="the schedule is shortened to end by then")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cpu")
    return parser.parse_args(arguments)


def main() -> None:
    train(parse())


if __name__ == "__main__":
    main()
