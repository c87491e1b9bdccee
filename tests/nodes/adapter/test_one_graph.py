"""The networks are one graph for torch.compile, with the attention that core has on an NVIDIA card."""

import json
import os
import subprocess
import sys

import pytest

from lumina_next.nextdit.layers.rope_scaling import METHODS
from lumina_next.tests.support.comfy_server import find_comfyui

HOST = ("no mask", "mask", "drop", *METHODS, "rope and drop", "regions", "views", "closure and replacement")
PURE = ("no mask", "mask", "drop", "time_aware_late", "rope and drop")


@pytest.fixture(scope="module")
def verdicts():
    env = {**os.environ, "COMFYUI_PATH": str(find_comfyui())}
    command = [sys.executable, "-m", "lumina_next.tests.support.as_on_nvidia"]
    done = subprocess.run(command, capture_output=True, text=True, env=env)
    assert done.returncode == 0, done.stderr[-4000:]
    return json.loads(done.stdout)


@pytest.mark.timeout(900)
@pytest.mark.parametrize("case", [*(f"ComfyUI, {name}" for name in HOST), *(f"PyTorch, {name}" for name in PURE)])
def test_one_graph(verdicts, case):
    assert verdicts[case] == "one graph"
