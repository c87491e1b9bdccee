"""One call a task: a request in, pictures out, without ComfyUI and without a command line."""

from .models import Models, UndecodedError
from .pictures import Picture
from .points import PointCloud, PointsRequest, points
from .sampling import Progress, Sampling
from .text_to_image import TextToImage, text_to_image, text_to_images
from .views import ViewsRequest, views

__all__ = [
    "Models",
    "Picture",
    "PointCloud",
    "PointsRequest",
    "Progress",
    "Sampling",
    "TextToImage",
    "UndecodedError",
    "ViewsRequest",
    "points",
    "text_to_image",
    "text_to_images",
    "views",
]
