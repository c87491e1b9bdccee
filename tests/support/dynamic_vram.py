"""ComfyUI's dynamic VRAM without a GPU: its patcher really runs, on the meta device, over a stand-in for its memory."""

import comfy.memory_management
import comfy.model_management
import comfy.model_patcher
import comfy.utils
import pytest
import torch
from safetensors import safe_open

FILE_SLICE = "_comfy_tensor_file_slice"
"""What ComfyUI's own reader leaves on a storage, to read the tensor from the file straight into VRAM."""
GPU = torch.device("meta")


class Memory:
    """Addresses for what would be VRAM."""

    def __init__(self, *_):
        self.size = self.used = 0

    def alloc(self, size):
        self.used += size
        return 0, self.used - size, size

    def __getattr__(self, name):
        return lambda *_: 0


def read(file):
    with safe_open(file, "pt") as content:
        weights = {key: content.get_tensor(key) for key in content.keys()}  # noqa: SIM118 - not a mapping
        metadata = content.metadata() or {}
    for key, tensor in weights.items():
        setattr(tensor.untyped_storage(), FILE_SLICE, (file, key))
    return weights, metadata


@pytest.fixture
def dynamic_vram(monkeypatch):
    """Let ComfyUI think that it has a GPU and dynamic VRAM."""
    host_buffer = pytest.importorskip("comfy_aimdo.host_buffer", reason="this ComfyUI has no dynamic VRAM")
    vbar = pytest.importorskip("comfy_aimdo.model_vbar")
    monkeypatch.setattr(host_buffer, "HostBuffer", Memory)
    monkeypatch.setattr(vbar, "ModelVBAR", Memory)
    monkeypatch.setattr(vbar, "vbar_unpin", lambda *_: None)
    monkeypatch.setattr(comfy.memory_management, "aimdo_enabled", True)
    monkeypatch.setattr(comfy.model_patcher, "CoreModelPatcher", comfy.model_patcher.ModelPatcherDynamic)
    monkeypatch.setattr(comfy.utils, "load_safetensors", read)
    for name in ("get_torch_device", "text_encoder_device"):
        monkeypatch.setattr(comfy.model_management, name, lambda: GPU)
    for name in ("unet_offload_device", "text_encoder_offload_device"):
        monkeypatch.setattr(comfy.model_management, name, lambda: torch.device("cpu"))
    for name in ("unet_inital_load_device", "text_encoder_initial_device"):
        monkeypatch.setattr(comfy.model_management, name, lambda *_, **__: torch.device("cpu"))
    monkeypatch.setattr(comfy.model_management, "supports_cast", lambda *_: True)
