"""Decoding in tiles: without seams, never for pictures that fit, and smaller ones when memory runs out."""

import pytest
import torch
import torch.nn.functional as F

from lumina_next.benchmarks.shared.peak import PeakMemory
from lumina_next.nextdit.encoders import vae_tiles
from lumina_next.nextdit.encoders.image_vae import DecoderConfig, VAEDecoder
from lumina_next.nextdit.encoders.vae_tiles import decode, decode_tiles, ran_out_of_memory, spread

SDXL = DecoderConfig(widths=(128, 256, 512, 512), blocks=3)


def enlarge(latents):
    """Decode as one that sees no further than a pixel: tiles make no difference."""
    return F.interpolate(latents[:, :3], scale_factor=8.0, mode="nearest")


class Tight:
    """A decoder that has memory for so many latent pixels; remembers the sizes that it was asked for."""

    def __init__(self, room, error=None):
        self.room, self.asked = room, []
        self.error = error or torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 12.00 GiB")

    def __call__(self, latents):
        self.asked.append(tuple(latents.shape))
        if latents.shape[0] * latents.shape[-2] * latents.shape[-1] > self.room:
            raise self.error
        return enlarge(latents)


@pytest.mark.parametrize("size", [(70, 33), (32, 200), (100, 100), (32, 32), (20, 90), (129, 65)], ids=str)
def test_tiles_join_without_seams(size):
    latents = torch.randn(2, 4, *size)
    torch.testing.assert_close(decode_tiles(enlarge, latents, 32), enlarge(latents), rtol=0, atol=1e-5)


def test_tiles_cover_the_picture_and_overlap():
    for length in range(1, 400):
        starts = spread(length, 32)
        assert starts[0] == 0 and starts[-1] + 32 >= length and (length <= 32 or starts[-1] + 32 == length)
        assert all(8 <= 32 - (b - a) < 32 for a, b in zip(starts, starts[1:], strict=False))


@torch.no_grad()
def test_a_real_decoder_in_tiles_is_close_to_the_whole():
    torch.manual_seed(0)
    decoder = VAEDecoder(DecoderConfig(widths=(32, 32, 32, 32), blocks=1)).eval()
    latents = torch.randn(1, 4, 48, 40)  # alike everywhere, since its norms and its attention see a tile only
    whole, tiled = decoder(latents), decode_tiles(decoder, latents, 32)
    assert torch.corrcoef(torch.stack([whole.flatten(), tiled.flatten()]))[0, 1] > 0.95


def test_what_fits_is_decoded_at_once_and_the_same_to_the_bit():
    for shape in ((1, 4, 192, 192), (2, 4, 128, 128), (1, 4, 30, 500)):
        decoder, latents = Tight(vae_tiles.WHOLE), torch.randn(shape)
        assert torch.equal(decode(decoder, latents), enlarge(latents)) and decoder.asked == [shape]


def test_a_batch_that_is_too_large_goes_one_by_one():
    decoder, latents = Tight(128 * 128), torch.randn(3, 4, 128, 128)
    assert torch.equal(decode(decoder, latents), enlarge(latents)) and decoder.asked == [(1, 4, 128, 128)] * 3


def test_a_large_picture_is_never_decoded_whole():
    decoder, latents = Tight(10**9), torch.randn(1, 4, 256, 256)
    torch.testing.assert_close(decode(decoder, latents), enlarge(latents), rtol=0, atol=1e-5)
    assert set(decoder.asked) == {(1, 4, 128, 128)}


@pytest.mark.parametrize("room", [64 * 64, 32 * 32])
@pytest.mark.parametrize("shape", [(1, 4, 100, 70), (2, 4, 40, 90), (1, 4, 210, 210)], ids=str)
def test_smaller_tiles_when_memory_runs_out(shape, room):
    decoder, latents = Tight(room), torch.randn(shape)
    torch.testing.assert_close(decode(decoder, latents), enlarge(latents), rtol=0, atol=1e-5)


def test_the_last_error_is_raised_and_others_at_once():
    for shape in ((1, 4, 16, 16), (1, 4, 200, 200)):
        with pytest.raises(torch.OutOfMemoryError):
            decode(Tight(0), torch.randn(shape))
    broken = Tight(0, ValueError("use the VAE that belongs to the model"))
    with pytest.raises(ValueError, match="belongs to the model"):
        decode(broken, torch.randn(1, 4, 100, 100))
    assert len(broken.asked) == 1


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory"),
        MemoryError(),
        RuntimeError("MPS backend out of memory (MPS allocated: 17.93 GB)"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:124] err == 0. DefaultCPUAllocator: can't allocate memory"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:116] DefaultCPUAllocator: not enough memory: you tried to"),
    ],
    ids=str,
)
def test_errors_about_memory_are_known(error):
    assert ran_out_of_memory(error)
    assert not ran_out_of_memory(RuntimeError("expected scalar type Half")) and not ran_out_of_memory(ValueError())


@pytest.mark.parametrize("side", [256, 512], ids=["2048", "4096"])
def test_large_pictures_need_what_a_tile_needs(side, record_property):
    with torch.device("meta"):
        decoder, latents = VAEDecoder(SDXL), torch.empty(1, 4, side, side)
    with torch.no_grad(), PeakMemory() as memory:
        decode(lambda x: decoder(x).new_zeros(1, 3, 8 * x.shape[-2], 8 * x.shape[-1], device="cpu"), latents)
    record_property("GiB", memory.peak / 2**30)
    assert memory.peak < 5 * 2**30
