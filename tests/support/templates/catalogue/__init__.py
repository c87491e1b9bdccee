"""Every workflow of the template browser, by its place there."""

from . import audio, classes, compose, core, editing, larger, official, points, recognition, speed, start, video, views
from .blueprints import BLUEPRINTS as BLUEPRINTS

PARTS = (start, classes, larger, speed, compose, views, video, audio, points, recognition, editing, official, core)
TEMPLATES = tuple(template for part in PARTS for template in part.TEMPLATES)
TITLES = {template.api: template.title for template in TEMPLATES}
