"""`lumina-next video`: clips out, and what wrong input says."""

import numpy as np
import pytest
from PIL import Image

from lumina_next.cli import main
from lumina_next.pipelines import read_clip
from lumina_next.tests.support import untrained_video


@pytest.fixture
def model(tmp_path_factory):
    file = tmp_path_factory.mktemp("models") / "video.safetensors"
    untrained_video.write(file)
    return str(file)


def test_a_clip_from_a_prompt_from_images_and_from_a_clip(tmp_path, model, capsys):
    common = ["--model", model, "--steps", "2"]
    assert main(["video", "dog face moving left", *common, "--frames", "5", "--fps", "12", "-o", "a.webp"]) == 0
    assert capsys.readouterr().out.strip().endswith("a.webp")
    frames, fps = read_clip(tmp_path / "a.webp")
    assert len(frames) == 5 and frames[0].size == (32, 32) and round(fps) == 12
    assert main(["video", *common, "--clip", "a.webp", "--denoise", "0.3", "-o", "b.mp4"]) == 0
    assert len(read_clip(tmp_path / "b.mp4")[0]) == 5
    Image.new("RGB", (16, 16), "red").save("first.png")
    assert main(["video", *common, "--image", "first.png", "--frames", "3", "-o", "c.webp"]) == 0
    first = np.asarray(read_clip(tmp_path / "c.webp")[0][0])
    assert np.abs(first.astype(int) - np.array([255, 0, 0])).max() <= 2
    assert main(["video", "x", *common, "--frames", "2"]) == 0 and main(["video", "x", *common, "--frames", "2"]) == 0
    assert (tmp_path / "video.mp4").is_file() and (tmp_path / "video-0002.mp4").is_file()


def test_wrong_input_is_one_line_that_helps(fails, tmp_path, model):
    common = ("--model", model)
    assert "give --prompt, --image or --clip" in fails("video", *common) or "nothing to show" in fails("video", *common)
    assert "--output must end in .mp4, .webp, .gif, got a.avi" in fails("video", "x", "-o", "a.avi")
    assert "the folder of --output does not exist" in fails("video", "x", "-o", "none/a.mp4")
    (tmp_path / "there.mp4").write_bytes(b"")
    assert "there.mp4 is there already; add --overwrite" in fails("video", "x", "-o", "there.mp4")
    assert "--frames must be a whole number, at least 1, got 0" in fails("video", "x", *common, "--frames", 0)
    assert "none.mp4 does not exist" in fails("video", *common, "--clip", "none.mp4")
    assert "unknown RoPE method 'x'" in fails("video", "x", *common, "--rope", "x")
