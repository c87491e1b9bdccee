"""Stage 3 of video, `python -m lumina_next.training.tasks.video`: clips of emoji that move as a caption says.

Starts from a text-to-image checkpoint (`--model`) and trains on what training.data.emoji prepared or packed. Stops
after `--minutes` and goes on from the next step when called again with the same `--run`.
"""

import argparse
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from ...nextdit import Call, VideoNextDiT, load_model
from ...nextdit.families import family_of
from ...nextdit.layers.attend import default_attend
from ...nextdit.text import TextEncoder, load_text_encoder
from ...pipelines.sampling import Sampling
from ...pipelines.video import sample_clips
from ..data.emoji.pictures import to_pixels
from ..data.motion.batches import FRAMES, PIXELS, ClipBatch, MotionBatches, clip_buckets
from ..loop.attention import folded_attention
from ..loop.flow import flow_loss
from ..loop.text import CachedTexts
from ..loop.trainer import Trainer, check_pixels, parser, run_stage, start

SHOWN = (
    "dog face moving left",
    "panda moving up quickly",
    "car moving right slowly",
    "pizza turning",
    "growing crescent moon",
    "frog shrinking",
    "soccer ball bouncing",
    "ゆっくり回るロケット",
)


class VideoTask:
    """Clips from captions, and from frames of theirs that are given."""

    def __init__(self, encoder: TextEncoder, options: argparse.Namespace):
        self.encoder, self.options = encoder, options
        self.texts = CachedTexts(encoder, torch.device(options.device))

    def loss(self, model: VideoNextDiT, batch: ClipBatch, generator: torch.Generator) -> Tensor:
        device = self.texts.device
        text, mask = self.texts(batch.prompts)
        given = batch.given.to(device)
        attend = folded_attention if device.type == "cpu" else default_attend
        call = Call(attend=attend, positions=[p.to(device) for p in batch.positions])

        def velocity(x: Tensor, t: Tensor) -> Tensor:
            return model.velocity(x, t, text, mask, call, given=given)

        # a compilation takes as long as many steps
        with torch.compiler.set_stance("default" if batch.common else "force_eager"):
            return flow_loss(
                velocity, batch.clips.to(device), generator, self.options.centre, given[:, None, :, None, None]
            )

    def about(self, model: VideoNextDiT) -> dict[str, str]:
        side = self.options.size // model.config.patch_size
        return {"train_tokens": str(side), "train_frames": str(self.options.frames)}

    def show(self, model: VideoNextDiT, file: Path, spent: float) -> None:
        """Draw a clip of each of SHOWN as a row of frames."""
        shape = (len(SHOWN), 3, self.options.frames, self.options.size, self.options.size)
        x = torch.randn(shape, generator=torch.Generator().manual_seed(0))
        clips = sample_clips(model.bfloat16(), self.encoder, SHOWN, x, Sampling(10, "uniform", cfg=2.0)).float().cpu()
        rows = [torch.cat(list(clip.transpose(0, 1)), dim=-1) for clip in clips]
        Image.fromarray(to_pixels(torch.cat(rows, dim=-2)[None])[0]).save(file)


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    stage = parser(__doc__, "Lumina-Next video demo")
    add = stage.add_argument
    add("--model", type=Path, required=True, help="text-to-image or video checkpoint to start from")
    add("--frame-width", type=int, help="numbers of a head that turn with the frame (default: half of them)")
    add("--size", type=int, choices=(16, 32, 64), default=PIXELS, help="pixels a side of a frame")
    add("--frames", type=int, default=FRAMES, help="frames of a clip")
    add("--tokens", type=int, default=4096, help="tokens of all frames a batch")
    add("--half", type=float, default=0.3, help="until which part of the run (0 to 1) it trains at half of the size")
    add("--turns", type=float, default=1.0, help="how often an object turns, next to each of the other ways to move")
    add("--centre", type=float, default=-0.9, help="of training times on the logit scale: below 0 more noise")
    return stage.parse_args(arguments)


def make_trainer(options: argparse.Namespace) -> Trainer:
    """Build model, data and optimizers from the options, and resume where --run has a state."""
    torch.manual_seed(options.seed)
    encoder = load_text_encoder(options.text_encoder, device=options.device, dtype=torch.float32)
    model = load_model(options.model, dtype=torch.float32)
    if family_of(model).name == "image":
        model = VideoNextDiT.from_image_model(model, frame_width=options.frame_width)
    check_pixels(model, options.model)
    buckets = clip_buckets(options.half, options.frames, options.size)
    batches = MotionBatches(
        options.cache, options.tokens, model.config.patch_size, options.seed, buckets, options.turns
    )
    return start(model, VideoTask(encoder, options), batches, options)


def main() -> None:
    run_stage(parse, make_trainer)


if __name__ == "__main__":
    main()
