"""The names of ImageNet's classes, which torchvision, where it is installed, tells of its own weights."""

from functools import cache

NUMBERED = tuple(map(str, range(1000)))


@cache
def imagenet_names() -> tuple[str, ...]:
    """Return the names of ImageNet's 1000 classes in their order, or their numbers where torchvision has no names."""
    try:
        from torchvision.models import ResNet18_Weights

        names = tuple(ResNet18_Weights.IMAGENET1K_V1.meta["categories"])
    except (ImportError, AttributeError, KeyError):
        return NUMBERED
    return names if len(names) == len(NUMBERED) else NUMBERED


def imagenet_choices() -> list[str]:
    """Return what a list of ImageNet's classes shows: number and name."""
    names = zip(NUMBERED, imagenet_names(), strict=True)
    return [number if number == name else f"{number}: {name}" for number, name in names]
