from comfy_api.latest import io

from ..adapter.host.schema import schema
from ..adapter.models import recognition


class ImageFeatures(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            node_id="LuminaNextImageFeatures",
            display_name="Image Features",
            category="Lumina-Next/recognition",
            description="What a classifier sees in images before it names them, to compare images by.",
            search_aliases=(
                "image embedding, embeddings, feature vector, similarity, encode image, 图像特征, 嵌入, 画像特徴, "
                "埋め込み"
            ).split(", "),
            inputs=[
                recognition.CLASSIFIER.Input("classifier", tooltip="From Load Lumina-Next Classifier."),
                io.Image.Input("images", tooltip="One image or a batch."),
            ],
            outputs=[recognition.FEATURES.Output(display_name="features", tooltip="For Sort by Similarity.")],
        )

    @classmethod
    def execute(cls, classifier, images) -> io.NodeOutput:
        return io.NodeOutput(recognition.features_of(classifier, images))
