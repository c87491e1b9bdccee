"""Every node of the pack, and the extension that hands them to ComfyUI."""

from comfy_api.latest import ComfyExtension, io

from .audio.empty_audio import EmptyAudio
from .audio.load_audio_model import LoadAudioModel
from .audio.sounds_in_order import SoundsInOrder
from .audio.splice_audio import SpliceAudio
from .audio.structured_caption import StructuredCaption
from .audio.time_mask import AudioTimeMask
from .conditioning.camera_ring import CameraRing
from .conditioning.class_label import ClassLabel
from .conditioning.grid_mask import GridMask
from .conditioning.multi_view import MultiView
from .conditioning.regional_prompt import RegionalPrompt
from .conditioning.timed_prompt import TimedPrompt
from .loaders.load_lora import LoadLora
from .loaders.load_model import LoadModel
from .loaders.load_text_encoder import LoadTextEncoder
from .model.context_drop import DropContext
from .model.scaled_rope import ScaledRope
from .model.seed_variety import SeedVariety
from .points.complete_points import CompletePoints
from .points.cut_points import CutPoints
from .points.draw_points import DrawPoints
from .points.empty_points import EmptyPoints
from .points.load_points import LoadPoints
from .points.point_attention import PointAttention
from .points.point_label import PointLabel
from .points.points_to_file import PointsToFile
from .points.points_to_voxels import PointsToVoxels
from .points.thin_points import ThinPoints
from .recognition.classify_image import ClassifyImage
from .recognition.image_features import ImageFeatures
from .recognition.keep_best import KeepBest
from .recognition.load_classifier import LoadClassifier
from .recognition.sort_by_similarity import SortBySimilarity
from .sampling.channel_guidance import ChannelGuidance
from .sampling.flow_sampler import FlowSampler
from .sampling.flow_schedule import FlowSchedule
from .sampling.flow_sde_sampler import FlowSdeSampler
from .sampling.visual_anagram import VisualAnagram
from .video.decode_video import DecodeVideo
from .video.empty_video import EmptyVideo
from .video.encode_video import EncodeVideo
from .video.image_to_video import ImageToVideo

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
    PointLabel,
    EmptyPoints,
    PointAttention,
    LoadPoints,
    CutPoints,
    CompletePoints,
    ThinPoints,
    DrawPoints,
    PointsToFile,
    PointsToVoxels,
    LoadClassifier,
    ClassifyImage,
    KeepBest,
    ImageFeatures,
    SortBySimilarity,
    ClassLabel,
    FlowSdeSampler,
    LoadAudioModel,
    EmptyAudio,
    StructuredCaption,
    AudioTimeMask,
    SpliceAudio,
    EmptyVideo,
    ImageToVideo,
    EncodeVideo,
    DecodeVideo,
    SeedVariety,
    TimedPrompt,
    SoundsInOrder,
]


class LuminaNextExtension(ComfyExtension):
    async def on_load(self) -> None:
        from .adapter.host import workflow_names
        from .adapter.models import demo, detection
        from .adapter.sampling import schedules

        detection.register()
        schedules.register_schedulers()
        demo.register_folders()
        workflow_names.register()

    async def get_node_list(self) -> list[type[io.ComfyNode]]:
        await self.on_load()  # releases such as 0.3.64 do not call it; a second time it changes nothing
        return NODES
