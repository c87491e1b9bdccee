"""Recognition through a real server: the workflows' labels, the best of a batch, and what wrong input says."""

import json

import pytest

from lumina_next.tests.host.test_workflows import in_few_steps, load, of_class, saved_by, with_inputs


def texts(run, prompt: dict, title: str) -> list[str]:
    """What the Preview as Text node of a title shows."""
    (node,) = (n for n in of_class(prompt, "PreviewAny") if prompt[n]["_meta"]["title"] == title)
    return list(run.outputs[node]["text"])


@pytest.mark.parametrize("language", ("en", "ja", "emoji"))
def test_a_picture_of_any_shape_gets_a_label(client, language):
    prompt = with_inputs(in_few_steps(load("classify_image"), 4), "LuminaNextClassifyImage", language=language)
    prompt = with_inputs(prompt, "ResizeAndPadImage", target_width=100)
    run = client.run(prompt)
    assert run.status == "success", run.error
    (label,), (told,) = (texts(run, prompt, title) for title in ("Label", "Likeliest labels"))
    rows = json.loads(told)
    assert rows[0]["label"] == label and len(rows) == 5
    assert [row["confidence"] for row in rows] == sorted((row["confidence"] for row in rows), reverse=True)
    assert saved_by(client, run, "classify_image").shape == (256, 400, 3)


def test_a_batch_gets_a_label_each(client):
    prompt = with_inputs(in_few_steps(load("classify_image"), 2), "EmptyLatentImage", batch_size=3)
    run = client.run(prompt)
    assert run.status == "success", run.error
    assert len(texts(run, prompt, "Label")) == len(texts(run, prompt, "Likeliest labels")) == 3
    assert len(client.images(run)) == 3


def test_keep_best_sorts_and_keeps(client):
    prompt = with_inputs(in_few_steps(load("best_of_n"), 2), "EmptyLatentImage", batch_size=4)
    run = client.run(prompt)
    assert run.status == "success", run.error
    assert saved_by(client, run, "best_of_n").shape == (448, 448, 3)
    first = saved_by(client, run, "best_of_n_all")[112, 112].astype(int)
    best = saved_by(client, run, "best_of_n")[224, 224].astype(int)
    assert abs(first - best).max() < 30, "the best is not the first of all"


def test_wrong_words_are_errors_that_help(client):
    run = client.run(with_inputs(in_few_steps(load("best_of_n"), 1), "LuminaNextKeepBestImages", label="a quokka"))
    assert run.status == "error" and "this model has no label 'a quokka'" in str(run.error)
