import pytest
import torch
from PIL import Image

from lumina_next.nextdit import NextDiT, load_model
from lumina_next.nextdit.text import load_text_encoder
from lumina_next.training.data.text.tokenizer import train_tokenizer
from lumina_next.training.loop.flow import draw_times, flow_loss
from lumina_next.training.loop.optimisation import MovingAverage, Warmup, optimizers, step_partly
from lumina_next.training.loop.trainer import train
from lumina_next.training.tasks import image, text_encoder

SMALL = ["--tokens", "512", "--no-compile", "--no-samples", "--warmup", "5", "--rate", "3e-3", "--device", "cpu"]


def options(cache, encoder, run, *more):
    given = ["--cache", str(cache), "--text-encoder", str(encoder), "--run", str(run), *SMALL, *more]
    return image.parse(given)


def trained(chosen):
    trainer = image.make_trainer(chosen)
    return trainer, train(trainer, chosen.run, chosen.out)


def test_thirty_steps_make_the_loss_fall_and_leave_a_checkpoint(cache, text_encoder_folder, tmp_path):
    _, losses = trained(options(cache, text_encoder_folder, tmp_path, "--steps", "30", "--sizes", "64x64"))
    assert len(losses) == 30
    assert sum(losses[-5:]) < 0.7 * sum(losses[:5])
    model = load_model(tmp_path / "model.safetensors")
    assert model.config == image.demo_config(64) and model.x_embedder.weight.dtype == torch.bfloat16


@pytest.mark.parametrize("muon", ["0", "3e-3"])
def test_a_run_in_two_pieces_gives_the_weights_of_a_run_in_one(cache, text_encoder_folder, tmp_path, muon):
    if float(muon) and not hasattr(torch.optim, "Muon"):
        pytest.skip("this PyTorch has no Muon")
    more = ("--steps", "4", "--muon", muon, "--tokens", "256")
    whole, _ = trained(options(cache, text_encoder_folder, tmp_path / "whole", *more))
    first = image.make_trainer(options(cache, text_encoder_folder, tmp_path / "pieces", *more))
    for _ in range(2):
        first.step(first.batches.draw(first.run.step, first.spent))
    first.run.save(tmp_path / "pieces" / "state.pt")
    second, losses = trained(options(cache, text_encoder_folder, tmp_path / "pieces", *more))
    assert len(losses) == 2
    for a, b in zip(whole.run.model.parameters(), second.run.model.parameters(), strict=True):
        assert torch.equal(a, b)
    for name, value in whole.run.average.values.items():
        assert torch.equal(value, second.run.average.values[name])


def test_minutes_end_a_call_and_planned_minutes_the_run(cache, text_encoder_folder, tmp_path):
    trainer, losses = trained(options(cache, text_encoder_folder, tmp_path, "--minutes", "0.0001"))
    assert len(losses) == 1 and (tmp_path / "state.pt").is_file() and trainer.run.seconds > 0
    _, losses = trained(options(cache, text_encoder_folder, tmp_path, "--plan-minutes", "0.0001"))
    assert losses == []


def test_a_checkpoint_is_fine_tuned_on_a_folder_of_images(cache, text_encoder_folder, tmp_path):
    images = tmp_path / "images"
    images.mkdir()
    for name in ("red", "blue"):
        Image.new("RGB", (64, 64), name).save(images / f"{name}.png")
        (images / f"{name}.txt").write_text(f"all {name}")
    trained(options(cache, text_encoder_folder, tmp_path / "a", "--steps", "1"))
    start = tmp_path / "a" / "model.safetensors"
    more = ("--steps", "3", "--model", str(start), "--images", str(images), "--sizes", "32x32")
    trained(options(cache, text_encoder_folder, tmp_path / "b", *more, "--checkpoint-gradients"))
    assert not torch.equal(
        load_model(tmp_path / "b" / "model.safetensors").x_embedder.weight, load_model(start).x_embedder.weight
    )


def test_recomputed_layers_give_the_same_gradients(cache, text_encoder_folder, tmp_path):
    weights = []
    for more in ((), ("--checkpoint-gradients",)):
        chosen = options(cache, text_encoder_folder, tmp_path / str(len(more)), *more)
        trainer = image.make_trainer(chosen)
        trainer.step(trainer.batches.draw(0, 0.0))
        weights.append(trainer.run.model.final_layer.linear.weight.detach())
    torch.testing.assert_close(weights[0], weights[1])


def test_a_state_of_another_model_is_refused(cache, text_encoder_folder, tmp_path):
    torch.save({"model": {}, "optimizers": []}, tmp_path / "state.pt")
    with pytest.raises(ValueError, match="state of another model"):
        image.make_trainer(options(cache, text_encoder_folder, tmp_path))


def test_the_loss_is_zero_for_the_true_velocity_and_times_lie_between_0_and_1():
    data = torch.randn(3, 3, 8, 8, generator=torch.Generator().manual_seed(3))

    def exact(x, t):
        return (data - x) / (1 - t[:, None, None, None])  # the line from x at t to the data at 1

    assert flow_loss(exact, data, torch.Generator().manual_seed(0)) < 1e-6
    for centre, mean in ((0.0, 0.5), (-0.4, 0.434)):
        t = draw_times(2000, torch.Generator().manual_seed(0), centre)
        assert 0 <= t.min() and t.max() <= 1 and abs(t.mean() - mean) < 0.03


def test_schedule_and_average():
    rate = Warmup(10, cooldown=0.5)
    assert rate(0, 0.0) == pytest.approx(0.1) and rate(50, 0.5) == 1.0 and rate(50, 0.75) == pytest.approx(0.5)
    model = torch.nn.Linear(2, 2)
    average = MovingAverage(model, 0.9)
    with torch.no_grad():
        model.weight += 1
    before = average.values["weight"].clone()
    average.update(model.named_parameters())
    torch.testing.assert_close(average.values["weight"], before + 1 - 2 / 11)


def test_muon_takes_the_layers_matrices_only(monkeypatch):
    model = image.initialise(NextDiT(image.demo_config(64)))
    adamw, muon = optimizers(model, 1e-3, muon=3e-3)
    assert all(p.ndim == 2 for p in muon.param_groups[0]["params"])
    assert sum(len(o.param_groups[0]["params"]) for o in (adamw, muon)) == len(list(model.parameters()))
    monkeypatch.delattr(torch.optim, "Muon")
    with pytest.raises(RuntimeError, match="Muon needs PyTorch 2.9"):
        optimizers(model, 1e-3, muon=3e-3)


@pytest.mark.skipif(not hasattr(torch.optim, "Muon"), reason="this PyTorch has no Muon")
def test_matrices_move_together_as_they_do_alone():
    from lumina_next.training.loop.muon import BatchedMuon

    def weights():
        generator = torch.Generator().manual_seed(0)
        return [
            torch.nn.Parameter(torch.randn(shape, generator=generator)) for shape in ((8, 8), (12, 8), (8, 8), (4, 9))
        ]

    one, other = weights(), weights()
    kept = {"lr": 0.1, "weight_decay": 0.1}
    together = BatchedMuon(one, **kept)
    alone = torch.optim.Muon(other, **kept, adjust_lr_fn="match_rms_adamw")
    generator = torch.Generator().manual_seed(1)
    for _ in range(3):
        for a, b in zip(one, other, strict=True):
            a.grad = torch.randn(a.shape, generator=generator)
            b.grad = a.grad.clone()
        together.step()
        alone.step()
    for a, b, start in zip(one, other, weights(), strict=True):
        moved = (b - start).detach().norm()
        assert (a - b).detach().norm() < 0.02 * moved  # bfloat16 sums in another order


def test_part_of_a_whole_step_is_a_step_at_part_of_the_rate():
    def model():
        made = torch.nn.ModuleDict(
            {"layers": torch.nn.ModuleList([torch.nn.Linear(6, 6)]), "last": torch.nn.Linear(6, 2)}
        )
        for n, p in enumerate(made.parameters()):
            torch.nn.init.normal_(p, generator=torch.Generator().manual_seed(n))
        return made, optimizers(made, 0.1, muon=0.1 if hasattr(torch.optim, "Muon") else 0.0, decay=0.1)

    def backward(made, seed):
        x = torch.randn(5, 6, generator=torch.Generator().manual_seed(seed))
        made["last"](made["layers"][0](x)).square().sum().backward()

    (one, ones), (other, others) = model(), model()
    for seed, part in enumerate((1.0, 0.3, 0.0)):
        backward(one, seed)
        step_partly(ones, list(one.parameters()), torch.tensor(part))
        backward(other, seed)
        for optimizer in others:
            for group in optimizer.param_groups:
                group["lr"] = 0.1 * part
            optimizer.step()
            optimizer.zero_grad()
    for a, b in zip(one.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(a, b)


def test_the_tokenizer_has_every_script_and_no_byte_token_can_be_typed():
    tokenizer = train_tokenizer(["dog face", "собака", "犬の顔", "🐶"] * 3, 400)
    for text in ("dog face", "собака", "犬の顔", "🐶", "ଓଡ଼ିଆ unseen"):
        assert tokenizer.decode(tokenizer.encode(text).ids) == text
    assert tokenizer.encode("Dog").ids == tokenizer.encode("dog").ids
    assert tokenizer.encode("").ids == [2]
    assert len(tokenizer.encode("<0x41>").ids) > 2


def test_a_held_text_encoder_keeps_its_features_for_the_demos_own_captions(cache, tmp_path, monkeypatch):
    monkeypatch.setattr(text_encoder, "VOCABULARY", 500)

    def trained_on(out, *more):
        options = ["--cache", str(cache), "--out", str(tmp_path / out), "--batch", "16", *more]
        text_encoder.train(text_encoder.parse(options))
        return load_text_encoder(tmp_path / out, dtype=torch.float32)(["red ball en", "blue ball de"])[0]

    began = trained_on("start", "--steps", "1")
    again = ("--steps", "12", "--rate", "0.001", "--start", str(tmp_path / "start"))
    free, held = (trained_on(f"hold{weight}", *again, "--hold", weight) for weight in ("0", "100"))
    assert (held - began).norm() < 0.5 * (free - began).norm()


def test_the_text_encoder_trains_and_loads(cache, tmp_path, monkeypatch):
    monkeypatch.setattr(text_encoder, "VOCABULARY", 500)
    for start in ([], ["--start", str(tmp_path)]):
        options = ["--cache", str(cache), "--out", str(tmp_path), "--steps", "3", "--batch", "8", *start]
        text_encoder.train(text_encoder.parse(options))
    encoder = load_text_encoder(tmp_path)
    features, mask = encoder(["red ball en", ""])
    assert features.shape[-1] == encoder.width == 128 and mask.sum(1).tolist()[1] == 1
