"""Let ComfyUI find the checkpoint that comes with the pack."""

from pathlib import Path

import folder_paths

DEMO = Path(__file__).resolve().parents[2] / "demo"


def register_folders() -> None:
    """Add the pack's demo folder to ComfyUI's model folders, after the user's own."""
    for kind in ("diffusion_models", "text_encoders"):
        folder_paths.add_model_folder_path(kind, str(DEMO / kind))
