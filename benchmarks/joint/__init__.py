"""A small network of ComfyUI's own Lumina-Image-2.0 class: trained here, and measured as other models are."""
