"""Boxes of the node library, under Subgraph Blueprints."""

from ..spec import Blueprint, Box
from . import official, start
from .parts import FILES, together

PASS = {"width": "6.width", "height": "6.height", "enlarge": "8.scale_by"}

BLUEPRINTS = (
    Blueprint(
        "text_to_image",
        Box("Text to Image", "1-8", start.TEXT_TO_IMAGE | FILES),
        outputs="8",
        about="A picture from a prompt with a Lumina-Next model.",
    ),
    Blueprint(
        "official_hires_fix",
        Box(
            "2K and Beyond",
            "1-11",
            official.PROMPT
            | PASS
            | {"seed": "7.seed 10.seed", "steps": "7.steps 10.steps", "cfg": "7.cfg 10.cfg", "denoise": "10.denoise"}
            | official.FILES_3,
        ),
        outputs="11",
        about="Two passes with scaled positions: one at the training size, one that draws the detail.",
        links=official.LINKS,
    ),
    Blueprint(
        "image_to_views",
        Box(
            "Views from an Image",
            "1-3 5 11-14",
            {"prompt": "5.text", "views": "11.views", "first azimuth": "11.first_azimuth", "direction": "11.direction"}
            | {"width": "12.width", "height": "12.height"}
            | together(13)
            | FILES,
        ),
        outputs="14",
        about="An object from several sides, from one picture of it on white.",
    ),
    Blueprint(
        "regional_prompts",
        Box(
            "Two Regions",
            "7-12",
            {
                "left prompt": "7.text",
                "right prompt": "10.text",
                "soft edge": "8.feather 11.feather",
                "strength": "9.strength 12.strength",
                "global weight": "9.global_weight 12.global_weight",
                "areas until": "9.areas_until 12.areas_until",
            },
        ),
        outputs="12",
        about="A prompt for the left half of the picture and one for the right half, inside attention.",
    ),
)
