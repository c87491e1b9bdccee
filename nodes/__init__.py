"""Every node of the pack, and the extension that hands them to ComfyUI."""

from comfy_api.latest import ComfyExtension, io

from .load_model import LoadModel

NODES: list[type[io.ComfyNode]] = [LoadModel]


class LuminaNextExtension(ComfyExtension):
    async def on_load(self) -> None:
        from .adapter import demo, detection

        detection.register()
        demo.register_folders()

    async def get_node_list(self) -> list[type[io.ComfyNode]]:
        return NODES
