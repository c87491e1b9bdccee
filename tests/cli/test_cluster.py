"""`lumina-next generate --ray`: no picture twice, none lost."""

import sys
from argparse import Namespace
from pathlib import Path
from types import SimpleNamespace

import pytest

from lumina_next.cli import cluster, main
from lumina_next.cli.cluster import WorkerPool, ray_address, share
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


@pytest.mark.parametrize(
    ("pasted", "address"),
    [
        ("local", "local"),
        (" auto ", "auto"),
        ("ray://head:10001/", "ray://head:10001"),
        (" 10.0.0.1:6379\n", "10.0.0.1:6379"),
    ],
)
def test_addresses_as_pasted(pasted, address):
    assert ray_address(pasted) == address


@pytest.mark.parametrize("pasted", ["http://127.0.0.1:8265", "HTTPS://head/", " ", "/"])
def test_what_is_no_clusters_address(pasted):
    with pytest.raises(ValueError, match="is no cluster's address.*HOST:6379"):
        ray_address(pasted)


class Died(Exception):
    actor_init_failed = False


class Raised(Exception):
    pass


class Ref:
    """What is promised: a job, and whether the first worker has it."""

    def __init__(self, *to):
        self.to = to


class StandIn:
    """As much of Ray as a WorkerPool uses: pictures are painted when they are waited for, and worker 0 dies at once."""

    exceptions = SimpleNamespace(RayActorError=Died, RayTaskError=Raised)

    def __init__(self):
        self.made = self.killed = 0

    def remote(self, **_):
        def make(options):
            self.made += 1
            first = self.made == 1
            return SimpleNamespace(paint=SimpleNamespace(remote=lambda job: Ref(first, job)))

        return lambda worker: SimpleNamespace(remote=make)

    def wait(self, refs, num_returns):
        return refs[:1], refs[1:]

    def get(self, ref):
        first, job = ref.to
        if first or job.prompt == "dies always":
            raise Died("the worker died")
        if job.prompt == "nan":
            raise Raised("Traceback\nValueError: the picture has NaN values")
        return job.prompt

    def kill(self, worker):
        self.killed += 1


def test_a_pool_tries_again_and_goes_on():
    ray = StandIn()
    jobs = [Namespace(prompt=word, output=f"{word}.png") for word in ("fox", "dies always", "nan", "hen", "cat")]
    pool = WorkerPool(Namespace(), 2, ray, {"num_cpus": 1})
    done = [(job.prompt, pixels) for job, pixels in pool.pictures(jobs)]
    assert sorted(done) == [("cat", "cat"), ("fox", "fox"), ("hen", "hen")]
    assert sorted(pool.failed) == [
        "dies always.png: its worker died 3 times",
        "nan.png: ValueError: the picture has NaN values",
    ]
    assert ray.killed >= 3 and ray.made == 2 + ray.killed and len(pool.idle) == 2


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
