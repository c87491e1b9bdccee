"""Let ComfyUI find the checkpoint that comes with the pack."""

from pathlib import Path

import folder_paths

DEMO = Path(__file__).resolve().parents[3] / "demo"
MODEL, TEXT_ENCODER = "lumina-next-demo.safetensors", "lumina-next-demo"
CLASSIFIERS = "classifiers"
MULTIVIEW = "lumina-next-demo-multiview.safetensors"
SOUNDS, MUSIC = "lumina-next-demo-sounds.safetensors", "lumina-next-demo-music.safetensors"


def register_folders() -> None:
    """Add the pack's demo folder to ComfyUI's model folders, after the user's own."""
    folder_paths.add_model_folder_path("diffusion_models", str(DEMO / "diffusion_models"))
    folder_paths.add_model_folder_path("LLM", str(Path(folder_paths.models_dir) / "LLM"))
    folder_paths.add_model_folder_path(CLASSIFIERS, str(DEMO / CLASSIFIERS))
    # not as "text_encoders": core's CLIP loaders would list the single files, which they cannot use
    folder_paths.add_model_folder_path("LLM", str(DEMO / "text_encoders"))


def demo_first(names: list[str]) -> list[str]:
    """Return names with those of the demo in front: new loaders open on their first entry, and these two fit together.

    The multi-view demo stays where it is, since it needs a conditioning of its own.
    """
    return sorted(names, key=lambda name: name not in (MODEL, TEXT_ENCODER))
