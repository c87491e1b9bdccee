"""Stage 2, `python -m lumina_next.training.text_encoder`: a small Gemma that knows the concepts in every language.

Contrastive, every caption against one learned anchor a concept, plus next-token prediction; the features are
taken where the Next-DiT takes them, at `hidden_states[-2]`.
"""

import argparse
import json
import random
import time
from pathlib import Path

import torch
import torch.nn.functional as F
from tokenizers import Tokenizer
from torch import Tensor, nn
from tqdm import tqdm
from transformers import GemmaConfig, GemmaForCausalLM

from .captions import Caption, Captions
from .concepts import COLOURS
from .optimisation import Warmup
from .prepare import default_cache
from .tokenizer import train_tokenizer

LAYER = -2
VOCABULARY = 13000
MAX_TOKENS = 32


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

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        anchors, scale = F.normalize(self.anchors, dim=-1), self.scale.exp()
        first, second = (F.normalize(read(features), dim=-1) @ anchors.T * scale for read in (self.first, self.second))
        return first, second, self.colour(features)


class Texts:
    """Training captions: the demo's own in all their forms, mixed with every other emoji that CLDR names."""

    def __init__(self, table: dict, corpus: list):
        self.captions = Captions(table)
        others = sorted({row[0] for row in corpus} - set(table["emoji"]))
        self.number = {e: i for i, e in enumerate([*table["emoji"], *others])}
        self.rows = [row for row in corpus if row[0] not in self.captions.words]

    def draw(self, chance: random.Random) -> Caption:
        form = chance.random()
        if form < 0.35:
            return self.captions.draw("single", chance)
        if form < 0.5:
            return self.captions.draw("background", chance)
        if form < 0.65:
            return self.captions.draw("pair", chance)
        emoji, _, words = chance.choice(self.rows)
        text = words[0] if chance.random() < 0.4 else ", ".join(chance.sample(words, min(len(words), 3)))
        return Caption(text, (self.number[emoji],))


def token_batch(tokenizer, texts: list[str]) -> tuple[Tensor, Tensor]:
    """Return ids and mask (B, L) of texts, BOS first, padded on the right."""
    rows = [tokenizer.encode(text).ids[:MAX_TOKENS] for text in texts]
    ids = torch.zeros(len(rows), max(map(len, rows)), dtype=torch.long)
    for row, tokens in zip(ids, rows, strict=True):
        row[: len(tokens)] = torch.tensor(tokens)
    return ids, ids != 0


def by_length(ids: Tensor, mask: Tensor, targets: Tensor, parts: int = 4) -> list[tuple[Tensor, Tensor, Tensor]]:
    """Split a batch into parts of like length, each cut to its longest: most captions are short."""
    rows = mask.sum(1).argsort().chunk(parts)
    longest = [int(mask[row].sum(1).max()) for row in rows]
    return [(ids[row, :n], mask[row, :n], targets[:, row]) for row, n in zip(rows, longest, strict=True)]


def losses(model: GemmaForCausalLM, slots: Slots, ids: Tensor, mask: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Return the contrastive loss of a batch and the language-model loss of its first eighth; targets (3, B)."""
    states = model.model(ids, attention_mask=mask.long(), output_hidden_states=True)
    weights = mask[..., None].float()
    mean = (states.hidden_states[LAYER].float() * weights).sum(1) / weights.sum(1)
    contrastive = sum(
        factor * F.cross_entropy(logits, target, label_smoothing=0.02)
        for factor, logits, target in zip((1.0, 0.5, 0.5), slots(mean), targets, strict=True)
    )
    few = max(1, len(ids) // 8)
    logits = model.lm_head(states.last_hidden_state[:few, :-1])
    following = ids[:few, 1:].masked_fill(~mask[:few, 1:], -100)
    return contrastive, F.cross_entropy(logits.flatten(0, 1).float(), following.flatten(), ignore_index=-100)


def train(cache: Path, out: Path, steps: int, batch: int, minutes: float, seed: int = 0, device: str = "cpu") -> None:
    """Train tokenizer and model on the prepared data and write an HF folder; `minutes` ends the schedule early."""
    torch.manual_seed(seed)
    chance = random.Random(seed)
    table, corpus = (json.loads((cache / name).read_text("utf-8")) for name in ("concepts.json", "corpus.json"))
    texts = Texts(table, corpus)
    lines = [word for _, _, words in corpus for word in words] + [e for e in texts.number for _ in range(3)]
    lines += [texts.captions.draw("background", chance).text for _ in range(5000)]
    lines += [texts.captions.draw("pair", chance).text for _ in range(5000)]
    tokenizer = train_tokenizer(lines, VOCABULARY)
    model = language_model(tokenizer.get_vocab_size()).to(device)
    slots = Slots(model.config.hidden_size, len(texts.number)).to(device)
    parameters = [*model.parameters(), *slots.parameters()]
    optimizer = torch.optim.AdamW(parameters, lr=3e-3, betas=(0.9, 0.98), weight_decay=0.01)
    schedule, start = Warmup(60, cooldown=0.6), time.monotonic()
    progress = tqdm(range(steps), desc="text encoder", mininterval=5)
    for step in progress:
        spent = max(step / steps, (time.monotonic() - start) / (60 * minutes))
        if spent >= 1:
            break
        for group in optimizer.param_groups:
            group["lr"] = 3e-3 * schedule(step, spent)
        drawn = [texts.draw(chance) for _ in range(batch)]
        ids, mask = (x.to(device) for x in token_batch(tokenizer, [caption.text for caption in drawn]))
        second = [caption.concepts[1] if len(caption.concepts) > 1 else len(texts.number) for caption in drawn]
        targets = torch.tensor([[c.concepts[0] for c in drawn], second, [c.colour + 1 for c in drawn]], device=device)
        optimizer.zero_grad()
        for part in by_length(ids, mask, targets):
            with torch.autocast(device, torch.bfloat16):
                contrastive, following = losses(model, slots, *part)
            ((contrastive + 0.1 * following) * len(part[0]) / batch).backward()
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        if step % 20 == 0:
            progress.set_postfix(contrastive=f"{contrastive.item():.3f}", words=f"{following.item():.3f}")
    save(model, tokenizer, out)


def save(model: GemmaForCausalLM, tokenizer: Tokenizer, out: Path) -> None:
    """Write config.json, model.safetensors (bfloat16), tokenizer.json and tokenizer_config.json."""
    model.to("cpu", torch.bfloat16).save_pretrained(out)
    tokenizer.save(str(out / "tokenizer.json"))
    config = json.loads((out / "config.json").read_text("utf-8"))
    # as transformers 4 names them, so that older releases read the same numbers
    config |= {"rope_theta": config.get("rope_theta", 10000.0), "torch_dtype": "bfloat16"}
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", "add_bos_token": True, "model_max_length": 256}
    settings |= {f"{name}_token": f"<{name}>" for name in ("pad", "eos", "bos", "unk")}
    for name, content in (("config.json", config), ("tokenizer_config.json", settings)):
        (out / name).write_text(json.dumps(content, indent=2) + "\n", "utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cache", type=Path, default=default_cache())
    parser.add_argument("--out", type=Path, required=True, help="folder to write")
    parser.add_argument("--steps", type=int, default=4000)
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--minutes", type=float, default=10, help="the schedule is shortened to end by then")
    parser.add_argument("--device", default="cpu")
    arguments = parser.parse_args()
    train(arguments.cache, arguments.out, arguments.steps, arguments.batch, arguments.minutes, device=arguments.device)


if __name__ == "__main__":
    main()
