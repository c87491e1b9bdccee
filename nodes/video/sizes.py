"""The inputs that every node which begins a clip has."""

from comfy_api.latest import io


def clip_inputs(frames: int = 8) -> list[io.Input]:
    """Return the inputs of a clip's size and number of frames."""
    return [
        io.Int.Input(
            "width",
            default=32,
            min=8,
            max=16384,
            step=8,
            tooltip="Width of a frame in pixels: the size the checkpoint was trained at, 32 for the one in the box. "
            "Scaled RoPE draws larger ones.",
        ),
        io.Int.Input(
            "height",
            default=32,
            min=8,
            max=16384,
            step=8,
            tooltip="Height of a frame in pixels: the size the checkpoint was trained at, 32 for the one in the box.",
        ),
        io.Int.Input(
            "frames",
            default=frames,
            min=1,
            max=4096,
            tooltip="Frames of the clip, as they are: the latent has as many. 8 is what the checkpoint in the box was "
            "trained with; Scaled RoPE draws more.",
        ),
    ]
