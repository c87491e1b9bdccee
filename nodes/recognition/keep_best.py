from comfy_api.latest import io

from ..adapter.host.progress import tell
from ..adapter.host.schema import schema
from ..adapter.models import recognition


class KeepBest(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            node_id="LuminaNextKeepBestImages",
            display_name="Keep Best",
            category="Lumina-Next/recognition",
            description="Of a batch, keep the images that most likely show a label: best of N for any image model.",
            search_aliases=(
                "best of n, rank images, select best image, filter images, judge, score images, 选出最佳, 图像评分, "
                "最良の画像, 画像を選別"
            ).split(", "),
            inputs=[
                recognition.CLASSIFIER.Input("classifier", tooltip="From Load Lumina-Next Classifier."),
                io.Image.Input("images", tooltip="A batch, such as what a sampler made from several seeds."),
                io.String.Input(
                    "label",
                    default="🐶",
                    tooltip="What the images should show, in any language of the model or as emoji. Several with "
                    "commas between count together.",
                ),
                io.Int.Input("keep", default=1, min=0, max=4096, tooltip="How many images stay. 0 sorts all of them."),
            ],
            outputs=[
                io.Image.Output(display_name="images", tooltip="The best first."),
                io.Float.Output(
                    display_name="scores", is_output_list=True, tooltip="How likely each shows the label, 0 to 1."
                ),
            ],
        )

    @classmethod
    def execute(cls, classifier, images, label: str, keep: int) -> io.NodeOutput:
        kept, scores = recognition.best(classifier, images, label, keep)
        tell(f"{len(kept)} of {len(images)} kept, {scores[0]:.0%} to {scores[-1]:.0%} likely")
        return io.NodeOutput(kept, scores)
