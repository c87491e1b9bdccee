"""Where models compute: the device that is asked for, or the best there is."""

import torch

from ..options import OptionError, option

REASONS = ("cuda", "xpu")
"""Kinds of devices of which torch says in a line why they are not there; of others it says what helps nobody."""


def find_device(name: str | torch.device | None) -> torch.device:
    """Return the named device, or else the accelerator that torch sees, or the CPU. Raises ValueError."""
    if name is None:
        found = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
        return found or torch.device("cpu")
    try:
        tried = torch.zeros(1, device=name)
        tried.add(1).item()  # which "meta" cannot
        return tried.device
    except Exception as error:  # torch raises of every kind, by the device
        why = ""
        if str(name).partition(":")[0] in REASONS:
            why = f" ({str(error).splitlines()[0].partition('. ')[0].rstrip('.')})"
        raise OptionError(
            f"{option('device')} {name or repr(name)} cannot be used here{why}; what there is: {', '.join(devices())}"
        ) from error


def devices() -> list[str]:
    """Return the names of the devices that can be used here."""
    if not torch.accelerator.is_available():
        return ["cpu"]
    kind = str(torch.accelerator.current_accelerator()).partition(":")[0]
    count = torch.accelerator.device_count()
    return ["cpu", kind] if count == 1 else ["cpu", *(f"{kind}:{n}" for n in range(count))]
