"""The template browser's workflows under the names of their API files, which were once their own.

A saved link such as /?template=text_to_image&source=lumina-next still opens the right one. The browser lists every file
of workflows/, so a copy under each old name would show everything twice.
"""

import sys
from pathlib import Path
from urllib.parse import quote

from aiohttp import web

TITLES = {
    "best_of_n": "Recognise - Best of eight",
    "between_two_images": "Video - Between two images",
    "class_to_image": "Class to image",
    "classify_image": "Recognise - What is in a picture",
    "complete_points": "Points - Complete a part",
    "context_drop": "Faster - Context Drop",
    "denser_points": "Points - Denser",
    "differential_diffusion": "Edit - Differential diffusion",
    "eighteen_views": "Views - Eighteen around",
    "emoji_prompts": "Text to image - Emoji as prompts",
    "few_step": "Faster - Few steps",
    "four_times": "Larger - Four times in three passes",
    "guidance_and_seeds": "Text to image - Guidance and seeds",
    "hires_fix": "Larger - Hires fix in two passes",
    "image_to_image": "Edit - Image to image",
    "image_to_video": "Video - From an image",
    "image_to_views": "Views - From an image",
    "inpaint": "Edit - Inpaint",
    "label_to_points": "Points - From a label",
    "larger_than_training": "Larger - Twice the size in one pass",
    "longer_sound": "Audio - Longer than trained",
    "one_after_another": "Video - One prompt after another",
    "longer_video": "Video - Longer than trained",
    "multilingual": "Text to image - Many languages",
    "official_2k": "Official - 2K in one pass",
    "official_class_to_image": "Official - Class to image",
    "official_diffusers_folder": "Official - Diffusers folder",
    "official_hires_fix": "Official - 2K hires fix",
    "official_lora": "Official - LoRA",
    "official_lumina_t2i": "Official - Lumina-T2I",
    "official_text_to_audio": "Official - Text to audio",
    "official_text_to_image": "Official - Text to image",
    "official_text_to_music": "Official - Text to music",
    "official_wan": "Official - Wan, one prompt after another",
    "official_z_image_2k": "Official - Z-Image at 3K",
    "official_z_image_variety": "Official - Z-Image seeds that differ",
    "official_z_image_4k": "Official - Z-Image 2K to 4K",
    "official_krea_2": "Official - Krea 2 Turbo 2K to 4K",
    "official_qwen_image": "Official - Qwen-Image at twice its size",
    "official_z_image_train_lora": "Official - Train a LoRA for Z-Image",
    "official_z_image_regions": "Official - Z-Image regions",
    "outpaint": "Edit - Outpaint",
    "panorama": "Larger - Panorama",
    "point_variation": "Points - Variation",
    "points_to_mesh": "Points - To a mesh",
    "regional_prompts": "Compose - Regional prompts",
    "repaint_sound": "Audio - Repaint a stretch",
    "rope_methods_grid": "Larger - Every RoPE method",
    "similar_images": "Recognise - Find similar pictures",
    "sound_variation": "Audio - Variation of a sound",
    "sounds_in_order": "Audio - Several sounds in order",
    "text_and_image_to_views": "Views - From an image and a prompt",
    "text_to_image": "Text to image",
    "text_to_music": "Audio - Music from a prompt",
    "text_to_points": "Points - From a prompt",
    "text_to_sound": "Audio - Sound from a prompt",
    "text_to_video": "Video - From a prompt",
    "text_to_views": "Views - From a prompt",
    "train_lora": "Train a LoRA",
    "two_objects": "Compose - Two objects",
    "variations": "Edit - Variations",
    "video_to_video": "Video - From a video",
    "visual_anagram": "Compose - Visual anagram",
}


def register() -> None:
    """Answer a request for an old name with the new address; a whole path goes before the folder ComfyUI serves."""
    module = sys.modules.get("server")  # importing it takes a second where the nodes are used without one
    server = getattr(getattr(module, "PromptServer", None), "instance", None)
    if server is None:
        return
    folder = f"/workflow_templates/{quote(Path(__file__).parents[3].name)}"
    known = {route.path for route in server.routes if isinstance(route, web.RouteDef)}
    for name, title in TITLES.items():
        if (path := f"{folder}/{name}.json") not in known:
            server.routes.get(path)(redirect(f"{quote(title)}.json"))


def redirect(address: str):
    """A handler that sends the browser to another file of the same folder, wherever a proxy has put that."""

    async def handler(request: web.Request) -> web.Response:
        raise web.HTTPFound(address)

    return handler
