from lumina_next.benchmarks.pipeline import run as pipeline
from lumina_next.tests.support.comfy_client import Run


def test_a_run_is_split_by_what_its_nodes_do():
    graph = pipeline.workflow("fox", 64, 64, 4, 1)
    node = {item["class_type"]: key for key, item in graph.items()}
    run = Run("id", "success")
    for time, kind, name in (
        (10.0, "execution_start", None),
        (10.5, "executing", "LuminaNextLoadModel"),
        (11.5, "executing", "CLIPTextEncode"),
        (12.0, "executing", "KSampler"),
        (14.0, "progress", "KSampler"),
        (15.0, "executing", "VAEDecode"),
        (15.25, "executing", "SaveImage"),
        (15.5, "executing", None),
        (15.5, "execution_success", None),
    ):
        run.events.append((kind, {"node": node.get(name)}))
        run.received.append(time)
    found = pipeline.split(run, graph, queued=9.5)
    assert found == {"loading": 1.0, "text": 0.5, "steps": 3.0, "decode": 0.25, "saving": 0.25, "whole": 6.0}
