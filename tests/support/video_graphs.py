"""Prompts that make clips, on the untrained video checkpoint."""

from .graphs import TextToImage

VIDEO = "lumina-next-untrained-video.safetensors"
ENCODER = "lumina-next-demo"


class TextToVideo(TextToImage):
    """The parts of a text-to-video prompt; `sample` as of TextToImage, `save` ends it as an MP4."""

    def __init__(self, model_name: str = VIDEO, prompt: str = "dog face moving left", frames: int = 8, size: int = 32):
        super().__init__(model_name, prompt=prompt)
        self.frames, self.size = frames, size
        self.latent = self.add("LuminaNextEmptyVideo", width=size, height=size, frames=frames, batch_size=1)

    def load_text_encoder(self, name: str = ENCODER, **changes) -> list:
        return super().load_text_encoder(name, **{"end_token": "without"} | changes)

    def images_to_latent(self, **images: list) -> list:
        """The latent of a clip that begins or ends with images."""
        sizes = {"width": self.size, "height": self.size, "frames": self.frames}
        return self.add("LuminaNextImageToVideo", vae=self.vae, **sizes, **images)

    def encoded(self, images: list) -> list:
        """The latent of a clip of images."""
        return self.add("LuminaNextEncodeVideo", images=images, vae=self.vae)

    def decoded(self, samples: list) -> list:
        """The frames of a clip."""
        return self.add("LuminaNextDecodeVideo", samples=samples, vae=self.vae)

    def save(self, images: list, name: str, fps: float = 8.0) -> "TextToVideo":
        """Enlarge frames eight times and save them as an MP4; returns the whole prompt."""
        larger = self.add("ImageScaleBy", image=images, upscale_method="nearest-exact", scale_by=8.0)
        video = self.add("CreateVideo", images=larger, fps=fps)
        self.add("SaveVideo", video=video, filename_prefix=f"video/{name}", format="mp4", codec="h264")
        return self
