"""What a node says of itself, as far as this ComfyUI has a place for it."""

from dataclasses import fields
from inspect import signature

from comfy_api.latest import io

NEWER = ("search_aliases",)
ADVANCED = {"advanced": True} if "advanced" in signature(io.Combo.Input.__init__).parameters else {}
"""Arguments of an input that most people leave alone, which newer releases than 0.3.64 fold away."""


def schema(**said) -> io.Schema:
    """Return a node's io.Schema of these arguments, without those that only newer releases of ComfyUI know."""
    known = {field.name for field in fields(io.Schema)}
    return io.Schema(**{name: value for name, value in said.items() if name in known or name not in NEWER})
