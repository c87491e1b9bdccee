"""Let ComfyUI find the checkpoint that comes with the pack."""

from pathlib import Path

import folder_paths

DEMO = Path(__file__).resolve().parents[3] / "demo"


def register_folders() -> None:
    """Add the pack's demo folder to ComfyUI's model folders, after the user's own."""
    folder_paths.add_model_folder_path("diffusion_models", str(DEMO / "diffusion_models"))
    folder_paths.add_model_folder_path("LLM", str(Path(folder_paths.models_dir) / "LLM"))
    # not as "text_encoders": core's CLIP loaders would list the single files, which they cannot use
    folder_paths.add_model_folder_path("LLM", str(DEMO / "text_encoders"))
