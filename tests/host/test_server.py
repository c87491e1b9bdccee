"""The pack inside a real server: start-up, what it registers, what it costs."""


def test_boots(server):
    assert server.get("/system_stats")["system"]["comfyui_version"]
