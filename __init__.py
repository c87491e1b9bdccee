"""Lumina-Next for ComfyUI: native models, LLM text encoders, flow schedules and samplers."""

from .version import VERSION

__version__ = VERSION

WEB_DIRECTORY = "./web"


async def comfy_entrypoint():
    """Return the pack's ComfyExtension; ComfyUI calls this once at start-up."""
    from .nodes import LuminaNextExtension

    return LuminaNextExtension()
