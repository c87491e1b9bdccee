"""What many of the demo's workflows share."""

from ..spec import Box

DEMO = (
    "Runs at once, on the small demo model in this pack. It draws emoji, 64 pixels wide, from their names in 19 "
    "languages."
)
VIEWS_DEMO = (
    "Runs at once, on the small multi-view model in this pack: chairs, lamps, cars, planes, dogs, mugs, houses and "
    "ships of simple shapes, 32 pixels wide."
)
CLASSES_DEMO = (
    "Runs at once, on a small model of classes in this pack: 64 emoji, 32 pixels wide, some of them on a coloured "
    "background."
)
POINTS_DEMO = (
    "Runs at once, on a small model of points in this pack: planes, chairs, tables, lamps, cars, ships, mugs and "
    "houses."
)
CLASSIFIER_DEMO = (
    "Runs at once, on a small classifier in this pack, which knows 625 things as emoji show them: animals, food, "
    "vehicles, places and objects. It is right on seven of ten drawings in a style that it never saw."
)
VIDEO_DEMO = (
    "Runs at once, on a small video model in this pack: 64 emoji that move, bounce, grow and shrink, 8 frames of 32 "
    "pixels, from prompts in 19 languages."
)
SOUNDS_DEMO = (
    "Runs at once, on a small model of sounds in this pack: 50 instruments, effects and noises, 4 seconds in training. "
    "It is at its best in English; in nine other languages two of three names are understood."
)
MUSIC_DEMO = (
    "Runs at once, on a small model of music in this pack: tunes of twelve instruments, 6 seconds in training, best in "
    "English."
)
FILES = {"model": "1.model_name", "text encoder": "2.text_encoder"}


def model_and_prompt(nodes: str = "1-5", **more: str) -> Box:
    """The loaders with one prompt and a negative one, nodes 4 and 5."""
    return Box("Model and prompt", nodes, {"prompt": "4.text", "negative prompt": "5.text", **more, **FILES})


def model(nodes: str = "1-3", **more: str) -> Box:
    """The loaders alone."""
    return Box("Model", nodes, {**more, **FILES})


def together(*samplers: int) -> dict[str, str]:
    """The settings that several samplers share, set at once."""
    return {name: " ".join(f"{i}.{name}" for i in samplers) for name in ("seed", "steps", "cfg")}


def paint(title: str, nodes: str, sampler: int) -> Box:
    """A sampler and its decoder."""
    return Box(title, nodes, together(sampler))


def labels(*nodes: int) -> dict[str, str]:
    """The words under the pictures of a comparison."""
    return {f"label {i + 1}": f"{node}.value" for i, node in enumerate(nodes)}


def side_by_side(nodes: str, *texts: int) -> Box:
    """Pictures enlarged, labelled and put into one."""
    return Box("Side by side", nodes, labels(*texts))
