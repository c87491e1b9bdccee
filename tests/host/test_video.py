"""Clips through a real server, as MP4 files that are decoded and looked at, and what wrong input says."""

from pathlib import Path

import numpy as np
import pytest

from lumina_next.pipelines.clips import read_clip
from lumina_next.tests.host.test_workflows import of_class, with_inputs
from lumina_next.tests.support.video_graphs import TextToVideo

FAST = {"steps": 2, "cfg": 2.0}
CODEC = 12  # of 255: what H.264 may change, on average over a picture of flat squares


def saved(client, server, graph, name: str) -> tuple[np.ndarray, float]:
    """Run a prompt, and return the frames (F, 32, 32, 3) of the MP4 that it wrote, shrunk again, and their rate."""
    run = client.run(graph)
    assert run.status == "success", run.error
    (told,) = [out["images"][0] for out in run.outputs.values() if any(out.get("animated", ()))]
    file = server.base / "output" / told["subfolder"] / told["filename"]
    assert Path(file).suffix == ".mp4" and file.stem.startswith(name)
    frames, fps = read_clip(file)
    pixels = np.stack([np.asarray(frame) for frame in frames]).astype(np.float32)
    count, height, width, _ = pixels.shape
    return pixels.reshape(count, height // 8, 8, width // 8, 8, 3).mean((2, 4)), fps


def far(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.abs(a - b).mean())


@pytest.mark.parametrize("frames, fps", [(8, 8.0), (1, 8.0), (13, 12.0)])
def test_a_text_becomes_a_clip_of_as_many_frames(client, server, frames, fps):
    graph = TextToVideo(frames=frames)
    clip, told = saved(client, server, graph.save(graph.decoded(graph.sample(**FAST)), "text", fps), "text")
    assert clip.shape == (frames, 32, 32, 3) and told == fps
    assert all(far(a, b) > CODEC for a, b in zip(clip, clip[1:], strict=False))


def test_the_prompt_and_the_seed_change_the_clip_and_core_s_loader_makes_the_same(client, server):
    def clip(prompt="dog face moving left", seed=1, loader=None):
        graph = TextToVideo(prompt=prompt)
        graph.save(graph.decoded(graph.sample(seed=seed, **FAST)), "same")
        if loader:
            (node,) = of_class(graph, "LuminaNextLoadModel")
            graph[node] = {
                "class_type": loader,
                "inputs": {"weight_dtype": "default"} | {"unet_name": graph[node]["inputs"]["model_name"]},
            }
        return saved(client, server, graph, "same")[0]

    base = clip()
    assert far(clip(prompt="rocket turning"), base) > 1 and far(clip(seed=2), base) > CODEC
    assert far(clip(loader="UNETLoader"), base) < 0.5


def test_images_begin_and_end_a_clip(client, server):
    """First and last frame in the file are the images; those between change with them."""
    graph = TextToVideo(frames=6)
    first = graph.add(
        "ImageScale",
        image=graph.add("EmptyImage", width=64, height=48, batch_size=1, color=0xE02010),
        upscale_method="area",
        width=64,
        height=48,
        crop="disabled",
    )
    last = graph.add("EmptyImage", width=32, height=32, batch_size=1, color=0x1040D0)
    latent = graph.images_to_latent(first_image=first, last_image=last)
    clip, _ = saved(
        client, server, graph.save(graph.decoded(graph.sample(latent_image=latent, **FAST)), "ends"), "ends"
    )
    assert clip.shape == (6, 32, 32, 3)
    assert far(clip[0], np.array([0xE0, 0x20, 0x10])) < CODEC and far(clip[-1], np.array([0x10, 0x40, 0xD0])) < CODEC
    assert all(far(frame, clip[0]) > CODEC and far(frame, clip[-1]) > CODEC for frame in clip[1:-1])
    only = TextToVideo(frames=6)
    image = only.add("EmptyImage", width=32, height=32, batch_size=1, color=0xE02010)
    latent = only.images_to_latent(first_image=image)
    begun, _ = saved(client, server, only.save(only.decoded(only.sample(latent_image=latent, **FAST)), "ends"), "ends")
    assert far(begun[0], clip[0]) < CODEC < far(begun[-1], clip[-1]) and far(begun[2], clip[2]) > 1


def test_stock_masks_keep_frames_of_a_clip(client, server):
    """Set Latent Noise Mask with a mask a frame is enough to draw what is between two frames."""
    graph = TextToVideo(frames=4)
    before = graph.decoded(graph.sample(**FAST))
    latent = graph.encoded(before)
    parts = [graph.add("SolidMask", value=float(value), width=32, height=32) for value in (0, 1, 1, 0)]
    images = [graph.add("MaskToImage", mask=part) for part in parts]
    pairs = [graph.add("ImageBatch", image1=images[i], image2=images[i + 1]) for i in (0, 2)]
    mask = graph.add("ImageToMask", image=graph.add("ImageBatch", image1=pairs[0], image2=pairs[1]), channel="red")
    masked = graph.add("SetLatentNoiseMask", samples=latent, mask=mask)
    after = graph.decoded(graph.sample(latent_image=masked, seed=5, **FAST))
    both = graph.add("ImageBatch", image1=before, image2=after)
    clips, _ = saved(client, server, graph.save(both, "between"), "between")
    old, new = clips[:4], clips[4:]
    assert far(new[0], old[0]) < CODEC and far(new[3], old[3]) < CODEC
    assert far(new[1], old[1]) > CODEC and far(new[2], old[2]) > CODEC


def test_denoise_says_how_much_of_a_clip_changes(client, server):
    def changed(denoise: float) -> float:
        graph = TextToVideo(frames=4)
        before = graph.decoded(graph.sample(**FAST))
        latent = graph.encoded(before)
        after = graph.decoded(graph.sample(latent_image=latent, seed=5, denoise=denoise, **FAST))
        both = graph.add("ImageBatch", image1=before, image2=after)
        clips, _ = saved(client, server, graph.save(both, "denoise"), "denoise")
        return far(clips[:4], clips[4:])

    little, much, most = (changed(denoise) for denoise in (0.1, 0.5, 1.0))
    assert little < 0.6 * much and much < most


def test_scaled_rope_says_and_does_something_to_a_longer_clip(client, server):
    def clip(patched: bool):
        graph = TextToVideo(frames=12)
        if patched:
            graph.model = graph.add(
                "LuminaNextScaledRope",
                model=graph.model,
                method="interpolation",
                factor="area",
                proportional_attention=False,
                train_size=0,
            )
        graph.save(graph.decoded(graph.sample(**FAST)), "longer")
        return saved(client, server, graph, "longer")[0]

    assert far(clip(True), clip(False)) > 0.5


def test_wrong_input_is_an_error_that_helps(client):
    def error(graph) -> str:
        run = client.run(graph)
        assert run.status == "error"
        return run.error

    graph = TextToVideo()
    picture = graph.add("VAEDecode", samples=graph.sample(**FAST), vae=graph.vae)
    graph.save(picture, "wrong")
    told = error(graph)
    assert "VAE Decode would show only the first of the 8 frames" in told and "put Decode Video Frames" in told
    graph = TextToVideo()
    pictures = graph.add("EmptyLatentImage", width=32, height=32, batch_size=2)
    graph.save(graph.decoded(pictures), "wrong")
    assert "expected a latent of clips, (batch, channels, frames, height, width), got (2, 4, 4, 4)" in error(graph)
    graph = TextToVideo(frames=4)
    image = graph.add("EmptyImage", width=32, height=32, batch_size=4, color=0)
    graph.save(graph.decoded(graph.sample(latent_image=graph.images_to_latent(first_image=image), **FAST)), "wrong")
    assert "the images given, 4, leave none of 4 frames to draw: set frames to more than that" in error(graph)
    graph = TextToVideo()
    graph.save(graph.decoded(graph.sample(latent_image=graph.images_to_latent(), **FAST)), "wrong")
    assert "connect one to Image to Video, or use Empty Video Latent" in error(with_inputs(graph, "KSampler", seed=3))
