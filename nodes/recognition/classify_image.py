from comfy_api.latest import io

from ..adapter.host.progress import tell
from ..adapter.host.schema import ADVANCED, schema
from ..adapter.models import recognition


class ClassifyImage(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            node_id="LuminaNextClassifyImage",
            display_name="Classify Image",
            category="Lumina-Next/recognition",
            description="Say what each image shows, at its own size and shape: nothing is cropped or made square.",
            search_aliases=(
                "image recognition, what is in this image, tag image, label image, image to text, interrogate, "
                "图像分类, 识别图片, 画像分類, 画像認識"
            ).split(", "),
            inputs=[
                recognition.CLASSIFIER.Input("classifier", tooltip="From Load Lumina-Next Classifier."),
                io.Image.Input("images", tooltip="One image or a batch."),
                io.Combo.Input(
                    "language",
                    options=list(recognition.LANGUAGES),
                    default="en",
                    tooltip="Language of the labels. The model in this pack has all of them.",
                ),
                io.Int.Input("top_k", default=5, min=1, max=1000, tooltip="How many labels the JSON lists."),
                io.Combo.Input(
                    "rope",
                    options=list(recognition.ROPE),
                    default=recognition.ROPE[0],
                    **ADVANCED,
                    tooltip="How positions are scaled in images larger than in training. Leave it as trained, unless "
                    "you compare.",
                ),
            ],
            outputs=[
                io.String.Output(display_name="label", is_output_list=True, tooltip="The likeliest label."),
                io.String.Output(
                    display_name="top_k",
                    is_output_list=True,
                    tooltip="JSON: the likeliest labels, each with its number and confidence.",
                ),
                io.Float.Output(
                    display_name="confidence", is_output_list=True, tooltip="How likely the label is, 0 to 1."
                ),
            ],
        )

    @classmethod
    def execute(cls, classifier, images, language: str, top_k: int, rope: str) -> io.NodeOutput:
        labels, texts, confidences = recognition.classified(classifier, images, language, top_k, rope)
        tell("\n".join(f"{label}: {value:.0%}" for label, value in zip(labels[:4], confidences[:4], strict=True)))
        return io.NodeOutput(labels, texts, confidences)
