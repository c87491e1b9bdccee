"""Muon on stacks of matrices, and captions that are encoded once."""

import pytest
import torch

from lumina_next.demo import TEXT_ENCODER
from lumina_next.nextdit.text import load_text_encoder
from lumina_next.training.loop.text import CachedTexts
from lumina_next.training.loop.trainer import encode


@pytest.mark.skipif(not hasattr(torch.optim, "Muon"), reason="PyTorch before 2.9 has no Muon to compare with")
def test_stacks_of_matrices_move_as_pytorch_moves_each():
    from lumina_next.training.loop.muon import BatchedMuon

    torch.manual_seed(0)
    ours = [torch.nn.Parameter(torch.randn(shape)) for shape in ((12, 8), (12, 8), (8, 12), (6, 6))]
    theirs = [torch.nn.Parameter(p.detach().clone()) for p in ours]
    kept = {"lr": 3e-2, "weight_decay": 0.1}
    batched, plain = BatchedMuon(ours, **kept), torch.optim.Muon(theirs, adjust_lr_fn="match_rms_adamw", **kept)
    for _ in range(3):
        for a, b in zip(ours, theirs, strict=True):
            a.grad = torch.randn_like(a)
            b.grad = a.grad.clone()
        batched.step()
        plain.step()
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b, atol=3e-4, rtol=0)
    plain.load_state_dict(batched.state_dict())  # either goes on from the other's state
    assert torch.equal(plain.state[theirs[0]]["momentum_buffer"], batched.state[ours[0]]["momentum_buffer"])


def test_captions_are_encoded_once_and_come_out_as_without():
    encoder, seen = load_text_encoder(TEXT_ENCODER, dtype=torch.float32), []

    class Counting:  # encodes as the real one does, and tells what
        width, tokenizer = encoder.width, encoder.tokenizer

        def __call__(self, prompts):
            seen.extend(prompts)
            return encoder(prompts)

    texts = CachedTexts(Counting(), torch.device("cpu"), together=True, limit=3)
    long = "dog face " * 20
    for prompts in (["dog face", "", "dog face"], [long, ""], ["dog face"], ["rocket", "dog face"]):
        features, mask = texts(prompts)
        wanted, wanted_mask = encode(encoder, prompts, torch.device("cpu"))
        assert torch.equal(mask, wanted_mask)
        torch.testing.assert_close(features * mask[..., None], wanted * wanted_mask[..., None], atol=1e-4, rtol=1e-4)
    assert seen == ["dog face", "", long, "rocket"]
    texts(["sun"])
    assert seen[-1] == "sun" and set(texts.known) == {"sun"}, "too many were known"
