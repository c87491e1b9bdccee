from comfy_api.latest import io

from ...nextdit.files import fingerprint
from ..adapter.host.progress import tell
from ..adapter.host.schema import schema
from ..adapter.models import recognition


class LoadClassifier(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            node_id="LuminaNextLoadClassifier",
            display_name="Load Lumina-Next Classifier",
            category="Lumina-Next/recognition",
            description="Load a Next-DiT that recognises pictures of any size and shape.",
            search_aliases=(
                "image recognition, classifier, image classification, tagger, vision model, 图像识别, 分类器, "
                "画像認識, 分類モデル"
            ).split(", "),
            inputs=[
                io.Combo.Input(
                    "model_name",
                    options=list(recognition.files()),
                    tooltip="A file in models/classifiers, or the one in this pack, which knows 625 emoji.",
                ),
            ],
            outputs=[
                recognition.CLASSIFIER.Output(
                    display_name="classifier", tooltip="For Classify Image, Keep Best and Image Features."
                )
            ],
        )

    @classmethod
    def fingerprint_inputs(cls, model_name: str, **_) -> str:
        return fingerprint(recognition.files()[model_name])

    @classmethod
    def execute(cls, model_name: str) -> io.NodeOutput:
        classifier = recognition.load(model_name)
        tell(recognition.describe(classifier))
        return io.NodeOutput(classifier)
