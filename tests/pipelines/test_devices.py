"""Devices by name, and what is said of those that are not there."""

import pytest
import torch

from lumina_next.pipelines.devices import devices, find_device


def test_a_device_is_what_is_asked_for_or_the_best():
    assert find_device("cpu") == find_device(torch.device("cpu")) == torch.device("cpu")
    assert str(find_device(None)).partition(":")[0] in [name.partition(":")[0] for name in devices()]


@pytest.mark.parametrize(("count", "names"), [(1, ["cpu", "cuda"]), (2, ["cpu", "cuda:0", "cuda:1"])])
def test_all_devices_are_told(count, names, monkeypatch):
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: True)
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda: torch.device("cuda"))
    monkeypatch.setattr(torch.accelerator, "device_count", lambda: count)
    assert devices() == names
    with pytest.raises(ValueError, match=f"device meta cannot be used here; what there is: {', '.join(names)}$"):
        find_device("meta")
