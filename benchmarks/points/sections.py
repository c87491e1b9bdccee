"""What is measured of models of points, a table each."""

import copy
import time
from collections.abc import Callable
from functools import partial

import torch

from ...nextdit.clouds.noise import grained
from ...nextdit.clouds.shape import densified, spread, unevenness
from ...nextdit.models.points import PointConfig
from ...nextdit.text import load_text_encoder
from ...pipelines.points import SPARE, sample_points
from ...training.data.points.captions import WORDS, names
from ...training.data.points.shapes import LABELS
from ..shared.metrics import mean, rate
from .bench import Bench, Clouds, Row
from .judge import judged
from .measures import Matching, distances, interval

TRAINED = 256


def match(samples: Clouds, references: Clouds) -> Matching:
    """Return the matching of clouds of every label with held-out ones of the same."""
    pairs = zip(samples, references, strict=True)
    return Matching.joined([Matching.of(distances(made, true)) for made, true in pairs])


def upsampled(coarse: Clouds, points: int) -> Clouds:
    """Return coarse clouds with points between near neighbours added: what needs no network."""
    generator = torch.Generator().manual_seed(0)
    return [[densified(cloud.cpu(), points, generator).to(cloud.device) for cloud in row] for row in coarse]


def even(clouds: Clouds, points: int) -> Clouds:
    """Return clouds thinned out to the points that lie farthest apart."""
    return [[cloud[spread(cloud, points)] for cloud in row] for row in clouds]


def shapes(bench: Bench) -> list[Row]:
    """Compare samples with held-out shapes at several numbers of points, with the floor and the baselines."""
    options = bench.options
    rows = []
    for points in options.points:
        count = options.samples if points <= 2048 else min(options.samples, options.fewer)
        rows += compared(bench, points, count, options.references)
    return rows


def equal(bench: Bench) -> list[Row]:
    """Compare as many samples as there are held-out shapes, the convention of Luo & Hu 2021."""
    count = bench.held.shape[1]
    return compared(bench, max(p for p in bench.options.points if p <= 2048), count, count)


def compared(bench: Bench, points: int, count: int, references: int) -> list[Row]:
    """Compare `count` samples of every label with `references` held-out shapes."""
    true = bench.references(points, references)
    floor = match(bench.training_shapes(points, count), true)
    rows, ours = [shape_row("training shapes (floor)", points, floor, floor, None, None)], None
    for name, make in ways_of(bench, points, count).items():
        if ours is not None and bench.options.ways is not None and name not in bench.options.ways:
            continue
        made = make()
        found = match(made, true)
        ours = ours or found
        rows.append(shape_row(name, points, found, floor, None if found is ours else ours, bench.right(made)))
    return rows


def ways_of(bench: Bench, points: int, count: int) -> dict[str, Callable[[], Clouds]]:
    """Return what is compared at a number of points, the default first."""
    ways: dict[str, Callable[[], Clouds]] = {
        "network, proportional attention": lambda: bench.sample(points, count, proportional=True)
    }
    if points <= TRAINED:
        return ways
    ways["network, plain attention"] = lambda: bench.sample(points, count)
    ways["network, plain noise"] = lambda: bench.sample(points, count, proportional=True, grain=1.0)
    ways[f"{TRAINED} points, neighbours between"] = lambda: upsampled(bench.sample(TRAINED, count), points)
    if bench.options.tuned:
        tuned = bench.network(bench.options.tuned)
        name = f"fine-tuned with {tuned.config.train_points} points"
        ways[name] = partial(bench.sample, points, count, tuned, proportional=True)
    if points > bench.options.most_forms:
        return ways
    if bench.options.plain:
        plain = bench.network(bench.options.plain)
        times = (points / TRAINED) ** 0.5
        forms = {
            "plain": "no time scaling",
            "interpolation": "no time scaling, PI",
            "ntk_aware": "no time scaling, NTK",
        }
        for scaling, name in forms.items():
            form = bench.variant(plain, scaling, times)
            ways[name] = partial(bench.sample, points, count, form, proportional=True)
    return ways


def shape_row(
    name: str, points: int, found: Matching, floor: Matching, ours: Matching | None, right: dict | None
) -> Row:
    """Return a row: `ours` is what the baseline is paired with, reference by reference."""
    nothing = "–"
    return {
        "points made by": name,
        "points": points,
        "MMD ×10³": interval(found.nearest),
        "÷ floor": float(found.nearest.mean() / floor.nearest.mean()),
        "coverage, %": float(100 * found.covered.float().mean()),
        "right class": nothing if right is None else right,
        "MMD − network's": nothing if ours is None else interval(found.nearest - ours.nearest),
    }


def density(bench: Bench) -> list[Row]:
    """Measure how evenly points stand: the spread of their distance to the nearest, random ones on a surface ≈ 0.52."""
    rows = []
    for points in bench.options.points:
        count = min(bench.options.fewer, bench.options.samples)
        twice = bench.sample(SPARE * points, count, proportional=True) if points <= bench.options.most_forms else None
        ways = {
            "held-out shapes": bench.references(points, count),
            "plain attention": bench.sample(points, count),
            "proportional attention": bench.sample(points, count, proportional=True),
        }
        if twice is not None:
            ways |= {"twice as many, thinned out": even(twice, points)}
        for name, clouds in ways.items():
            values = torch.tensor([unevenness(cloud) for row in clouds for cloud in row])
            rows.append({"points made by": name, "points": points, "unevenness": mean(values)})
    return rows


def few_steps(bench: Bench) -> list[Row]:
    """Compare numbers of steps and solvers, with and without guidance."""
    points, own = 1024, (bench.options.steps, bench.options.method)
    references = bench.references(points, bench.options.references)
    floor = match(bench.training_shapes(points, bench.options.samples), references)
    ways = [(5, "euler"), (10, "euler"), (20, "euler"), (5, "midpoint"), (10, "midpoint")]
    rows = []
    for (steps, method), cfg in dict.fromkeys([*((way, 1.0) for way in ways), (own, bench.options.guidance)]):
        made = bench.sample(points, bench.options.samples, steps=steps, solver=method, cfg=cfg, proportional=True)
        found = match(made, references)
        rows.append(
            {
                "sampled with": f"{steps} steps, {method}",
                "guidance": cfg,
                "MMD ×10³": interval(found.nearest),
                "÷ floor": float(found.nearest.mean() / floor.nearest.mean()),
                "right class": bench.right(made),
            }
        )
    return rows


def real(bench: Bench) -> list[Row]:
    """Compare samples with real-world models of the same name, which are more various than what was trained on."""
    from .furniture import NAMES, furniture

    points, count, rows = 1024, bench.options.samples, []
    found = furniture(bench.options.furniture, points, bench.options.references, bench.device)
    made, seen = bench.sample(points, count, proportional=True), bench.training_shapes(points, count)
    for name in NAMES:
        label, true = LABELS.index(name), found[name]
        floor, ours = (Matching.of(distances(clouds[label], true)) for clouds in (seen, made))
        rows.append(
            {
                "label": name,
                "real models": len(true),
                "MMD ×10³": interval(ours.nearest),
                "training shapes": interval(floor.nearest),
                "real models that the judge knows": rate(judged(bench.judge, true) == label),
            }
        )
    return rows


def texts(bench: Bench) -> list[Row]:
    """Judge what the model of text makes of a name of each label in every language."""
    options, points = bench.options, 512
    model = bench.network(options.text_model)
    encoder = load_text_encoder(options.text_encoder, dtype=torch.float32, device=bench.device)
    none = encoder([""])
    hits: dict[str, list[bool]] = {}
    for language in WORDS:
        text, mask = encoder([names(label, language)[0] for label in range(len(LABELS))])
        noise = [torch.randn(3, points, generator=torch.Generator().manual_seed(n)) for n in range(len(LABELS))]
        x = grained(torch.stack(noise), TRAINED, options.grain)
        made = sample_points(model, x, text, mask, bench.sampling, none=none, proportional=True)
        seen = judged(bench.judge, [cloud.T for cloud in made]) == torch.arange(len(LABELS))
        hits.setdefault("English" if language == "en" else "the 18 others", []).extend(seen.tolist())
    everything = [hit for row in hits.values() for hit in row]
    return [
        {"language": name, "prompts": len(row), "right class": rate(torch.tensor(row))}
        for name, row in {**hits, "all": everything}.items()
    ]


def operations(config: PointConfig, points: int) -> float:
    """Return the floating-point operations of one evaluation, by formula: linear in N, and attention in its square."""
    c = config
    layer = c.dim * (2 * c.dim + 2 * c.dim * c.n_kv_heads // c.n_heads) + 3 * c.dim * c.ffn_dim
    ends = c.dim * (3 + 6 * c.features) + 3 * c.dim
    return 2.0 * points * (c.n_layers * (layer + 2 * points * c.dim) + ends)


@torch.inference_mode()
def cost(bench: Bench) -> list[Row]:
    """Time one evaluation of the network at several numbers of points, in the processor's own seconds on one thread."""
    model = copy.deepcopy(bench.model).cpu()
    rows, chosen = [], torch.zeros(1, 1, len(LABELS)).to(model.point_embedder.linear.weight)
    for points in (256, 1024, 2048, 4096, 8192, 16384):
        x, spent = torch.randn(1, 3, points), []
        for _ in range(1 if points > 8192 else 3):
            began = time.process_time()
            model(x, torch.full((1,), 0.5), chosen, proportional=True)
            spent.append(time.process_time() - began)
        flops = operations(model.config, points)
        rows.append(
            {"points": points, "seconds": min(spent), "GFLOP": flops / 1e9, "GFLOP/s": flops / 1e9 / min(spent)}
        )
    return rows
