"""Every node of the pack, and the extension that hands them to ComfyUI."""

from comfy_api.latest import ComfyExtension, io

from .camera_ring import CameraRing
from .channel_guidance import ChannelGuidance
from .context_drop import DropContext
from .flow_sampler import FlowSampler
from .flow_schedule import FlowSchedule
from .grid_mask import GridMask
from .load_lora import LoadLora
from .load_model import LoadModel
from .load_text_encoder import LoadTextEncoder
from .multi_view import MultiView
from .regional_prompt import RegionalPrompt
from .scaled_rope import ScaledRope
from .visual_anagram import VisualAnagram

NODES: list[type[io.ComfyNode]] = [
    LoadModel,
    LoadTextEncoder,
    LoadLora,
    FlowSchedule,
    FlowSampler,
    ChannelGuidance,
    ScaledRope,
    DropContext,
    RegionalPrompt,
    GridMask,
    VisualAnagram,
    CameraRing,
    MultiView,
]


class LuminaNextExtension(ComfyExtension):
    async def on_load(self) -> None:
        from .adapter import demo, detection, sampling

        detection.register()
        sampling.register_schedulers()
        demo.register_folders()

    async def get_node_list(self) -> list[type[io.ComfyNode]]:
        await self.on_load()  # releases such as 0.3.64 do not call it; a second time it changes nothing
        return NODES
