"""Every workflow of the template browser, by its place there."""

from . import classes, compose, core, editing, larger, official, points, recognition, speed, start, video, views
from .blueprints import BLUEPRINTS as BLUEPRINTS

TEMPLATES = tuple(
    template
    for part in (start, classes, larger, speed, compose, views, video, points, recognition, editing, official, core)
    for template in part.TEMPLATES
)
TITLES = {template.api: template.title for template in TEMPLATES}
