from comfy_api.latest import io

from ..adapter.host.progress import tell
from ..adapter.host.schema import schema
from ..adapter.models import recognition


class SortBySimilarity(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            node_id="LuminaNextSortBySimilarity",
            display_name="Sort by Similarity",
            category="Lumina-Next/recognition",
            description="Put the images that are most like a reference first, by what they show.",
            search_aliases=(
                "find similar images, image search, similarity search, sort images, reverse image search, 相似图像, "
                "以图搜图, 類似画像検索, 画像を並べ替え"
            ).split(", "),
            inputs=[
                io.Image.Input("images", tooltip="The images to sort."),
                recognition.FEATURES.Input("features", tooltip="Image Features of the same images."),
                recognition.FEATURES.Input(
                    "reference", tooltip="Image Features of what to look for; of several images the nearest counts."
                ),
                io.Int.Input("keep", default=0, min=0, max=4096, tooltip="How many images stay. 0 keeps all."),
            ],
            outputs=[
                io.Image.Output(display_name="images", tooltip="The most alike first."),
                io.Float.Output(
                    display_name="similarity",
                    is_output_list=True,
                    tooltip="How alike each is to the reference: 1 is the same.",
                ),
            ],
        )

    @classmethod
    def execute(cls, images, features, reference, keep: int) -> io.NodeOutput:
        kept, scores = recognition.most_alike(images, features, reference, keep)
        tell(f"similarity {scores[0]:.2f} to {scores[-1]:.2f}")
        return io.NodeOutput(kept, scores)
