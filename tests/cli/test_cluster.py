"""`lumina-next generate --ray`: no picture twice, none lost."""

import sys
from pathlib import Path

import pytest

from lumina_next.cli import cluster, main
from lumina_next.cli.cluster import share
from lumina_next.tests.cli.mortal_worker import MortalWorker

QUICK = ("--steps", "1", "--device", "cpu", "--cfg", "1", "--dtype", "fp32")


@pytest.mark.parametrize(
    ("resources", "workers", "expected"),
    [
        ({"GPU": 4.0, "CPU": 32.0}, None, (4, {"num_gpus": 1, "num_cpus": 1})),
        ({"GPU": 4.0, "CPU": 32.0}, 2, (2, {"num_gpus": 1, "num_cpus": 1})),
        ({"CPU": 8.0}, None, (1, {"num_cpus": 8})),
        ({"CPU": 8.0}, 3, (3, {"num_cpus": 2})),
        ({"CPU": 2.0}, 5, (2, {"num_cpus": 1})),
    ],
)
def test_a_cluster_is_shared(resources, workers, expected):
    assert share(resources, workers) == expected


@pytest.mark.timeout(600)
def test_no_picture_is_lost_or_made_twice_when_workers_die(monkeypatch, capsys):
    pytest.importorskip("ray", reason="Ray is not installed: pip install ray")
    monkeypatch.setattr(cluster, "Worker", MortalWorker)
    folder = Path("all").resolve()  # workers have a folder of their own
    Path("prompts.txt").write_text("fox\ndies once\nhen\ndies always\ncat\n", "utf-8")
    command = ["generate", "--prompts", "prompts.txt", *QUICK, "-o", str(folder)]
    assert main([*command, "--ray", "local", "--workers", "2"]) == 2
    said = capsys.readouterr()
    made = [str(folder / f"000{line}.png") for line in (1, 2, 3, 5)]
    assert sorted(said.out.split()) == made
    assert "1 of 5 pictures failed" in said.err and "0004.png: its worker died 3 times" in said.err
    assert sorted(map(str, folder.iterdir())) == made
    with_ray = {file: Path(file).read_bytes() for file in made}
    Path(made[1]).unlink()
    assert main(command) == 0  # without Ray, the two that are missing
    assert sorted(capsys.readouterr().out.split()) == [made[1], str(folder / "0004.png")]
    assert Path(made[1]).read_bytes() == with_ray[made[1]]


def test_without_ray_it_says_how_to_get_it(monkeypatch, fails):
    monkeypatch.setitem(sys.modules, "ray", None)
    Path("prompts.txt").write_text("fox\n", "utf-8")
    assert "pip install 'lumina-next[ray]'" in fails("generate", "--prompts", "prompts.txt", *QUICK, "--ray")
