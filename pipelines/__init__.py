"""One call a task: a request in, pictures or sounds out, without ComfyUI and without a command line."""

from .audio import AudioRequest, audio
from .classes import ClassToImage, class_to_image, class_to_images
from .classify import ClassifyRequest, Guess, Recognised, classify, image_features
from .clips import Clip, read_clip
from .models import Models, UndecodedError
from .pictures import Picture
from .points import PointCloud, PointsRequest, points
from .sampling import Progress, Sampling
from .sounds import Sound, read_sound
from .text_to_image import TextToImage, text_to_image, text_to_images
from .video import VideoRequest, video
from .views import ViewsRequest, views

__all__ = [
    "AudioRequest",
    "ClassToImage",
    "ClassifyRequest",
    "Clip",
    "Guess",
    "Models",
    "Picture",
    "PointCloud",
    "PointsRequest",
    "Progress",
    "Recognised",
    "Sampling",
    "Sound",
    "TextToImage",
    "UndecodedError",
    "VideoRequest",
    "ViewsRequest",
    "audio",
    "class_to_image",
    "class_to_images",
    "classify",
    "image_features",
    "points",
    "read_clip",
    "read_sound",
    "text_to_image",
    "text_to_images",
    "video",
    "views",
]
