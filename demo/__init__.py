"""The checkpoint in the box, and how it was made."""

from pathlib import Path

FOLDER = Path(__file__).resolve().parent
MODEL = FOLDER / "diffusion_models" / "lumina-next-demo.safetensors"
MULTIVIEW_MODEL = FOLDER / "diffusion_models" / "lumina-next-demo-multiview.safetensors"
TEXT_ENCODER = FOLDER / "text_encoders" / "lumina-next-demo"
