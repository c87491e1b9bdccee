"""Build API-format prompts in Python."""

MULTIVIEW = "lumina-next-demo-multiview.safetensors"
MODEL, TEXT_ENCODER = "lumina-next-untrained.safetensors", "lumina-next-untrained"
STEPS = 4


class Graph(dict):
    """An API-format prompt; `add` returns the new node's first output, which is also how a node is named later."""

    def add(self, class_type: str, **inputs) -> list:
        node = str(len(self) + 1)
        self[node] = {"class_type": class_type, "inputs": inputs}
        return [node, 0]


class TextToImage(Graph):
    """The parts of a text-to-image prompt on the untrained checkpoint; `sample` and `show` finish it."""

    def __init__(self, model_name: str = MODEL, weight_dtype: str = "default", prompt: str = "a red fox in the snow"):
        super().__init__()
        self.model = self.add("LuminaNextLoadModel", model_name=model_name, weight_dtype=weight_dtype)
        self.clip = self.load_text_encoder()
        self.vae = self.add("VAELoader", vae_name="pixel_space")
        self.positive = self.encode(prompt)
        self.negative = self.encode("")
        self.latent = self.add("EmptyLatentImage", width=64, height=64, batch_size=1)

    def load_text_encoder(self, name: str = TEXT_ENCODER, **changes) -> list:
        options = {"layer": -2, "max_tokens": 256, "weight_dtype": "default", "device": "default"} | changes
        return self.add("LuminaNextLoadTextEncoder", text_encoder=name, **options)

    def encode(self, text: str) -> list:
        return self.add("CLIPTextEncode", clip=self.clip, text=text)

    def sample(self, **changes) -> list:
        """A KSampler over the parts; `changes` override its inputs."""
        parts = {"model": self.model, "positive": self.positive, "negative": self.negative}
        parts |= {"latent_image": self.latent, "seed": 1, "steps": STEPS, "cfg": 4.0, "denoise": 1.0}
        parts |= {"sampler_name": "euler", "scheduler": "simple"}
        return self.add("KSampler", **parts | changes)

    def show(self, samples: list) -> "TextToImage":
        """Decode and save samples; returns the whole prompt."""
        image = self.add("VAEDecode", samples=samples, vae=self.vae)
        self.add("SaveImage", images=image, filename_prefix="test")
        return self
