"""The checkpoint in the box, and how it was made."""

from pathlib import Path

FOLDER = Path(__file__).resolve().parent
MODEL = FOLDER / "diffusion_models" / "lumina-next-demo.safetensors"
MULTIVIEW_MODEL = FOLDER / "diffusion_models" / "lumina-next-demo-multiview.safetensors"
VIDEO_MODEL = FOLDER / "diffusion_models" / "lumina-next-demo-video.safetensors"
POINTS_MODEL = FOLDER / "diffusion_models" / "lumina-next-demo-points.safetensors"
POINTS_TEXT_MODEL = FOLDER / "diffusion_models" / "lumina-next-demo-points-text.safetensors"
CLASSIFIER = FOLDER / "classifiers" / "lumina-next-demo-recognition.safetensors"
CLASS_MODEL = FOLDER / "diffusion_models" / "lumina-next-demo-classes.safetensors"
TEXT_ENCODER = FOLDER / "text_encoders" / "lumina-next-demo"
