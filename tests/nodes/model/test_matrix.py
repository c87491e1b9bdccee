"""Every cell of the composition matrix, sampled: matrix.py has the rows, matrix_columns.py the columns."""

from functools import cache

import pytest
import torch
from comfy.ldm.modules import attention

from lumina_next.nodes.adapter.sampling.guidance import guide_channels
from lumina_next.tests.support.matrix import (
    CONFIG,
    DOC,
    EXCLUDED,
    LOADER,
    OUTCOMES,
    REMARKS,
    ROWS,
    STEPS,
    STOPS,
    document,
    load,
    plain,
)
from lumina_next.tests.support.matrix_columns import COLUMNS

BY_NAME = {column.name: column for column in COLUMNS}
CELLS = [(row, column.name) for column in COLUMNS for row in ROWS]
TICKED = [cell for cell in CELLS if cell not in EXCLUDED | STOPS]


@pytest.fixture(scope="module", autouse=True)
def traced_once():
    """Let the compiled cells share their traces, as a user who toggles nodes does."""
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


@cache
def model():
    """One model for all cells, so that what a cell leaves behind shows in the next."""
    return load()


@cache
def alone(row: str) -> torch.Tensor:
    return ROWS[row](plain(model())).run()


@cache
def without(column: str) -> torch.Tensor:
    return BY_NAME[column].sample(ROWS[LOADER], model())


def same(a: torch.Tensor, b: torch.Tensor) -> bool:
    return torch.allclose(a, b, atol=1e-3, rtol=1e-3)


def holds(outcome: str, both: torch.Tensor, one: torch.Tensor) -> bool:
    apart = float((both - one).norm() / one.norm())
    return {"same": same(both, one), "near": 0 < apart < 0.3, "acts": apart > 1e-3}[outcome]


@pytest.mark.parametrize("row, column", TICKED, ids=map(" with ".join, TICKED))
def test_cell(row, column):
    expected = alone(row)
    both = BY_NAME[column].sample(ROWS[row], model())
    assert torch.isfinite(both).all()
    assert holds(BY_NAME[column].outcome, both, expected), f"not {BY_NAME[column].outcome}"
    if row != LOADER:
        assert not same(both, without(column)), f"{row} does nothing in company"
    assert torch.equal(BY_NAME[column].sample(ROWS[row], model()), both), "another picture the second time"
    assert torch.equal(ROWS[row](plain(model())).run(), expected), "something was left on the model"


@pytest.mark.parametrize("row, column", EXCLUDED, ids=map(" with ".join, EXCLUDED))
def test_what_is_said_to_exclude_each_other_does(row, column):
    both = BY_NAME[column].sample(ROWS[row], model())
    assert torch.equal(both, without(column)), f"{row} does act with {column}: tick the cell"
    if row == "Channel Guidance" and column != "Perp-Neg Guider":
        patched = BY_NAME[column].arrange(plain(model())).model
        with pytest.raises(ValueError, match="another node has already replaced this model's guidance"):
            guide_channels(patched, 2)


@pytest.mark.parametrize("row, column", STOPS, ids=map(" with ".join, STOPS))
def test_what_is_said_to_stop_does(row, column):
    with pytest.raises(RuntimeError):
        BY_NAME[column].sample(ROWS[row], model())


def test_rows_differ_from_each_other():
    results = [alone(row) for row in ROWS]
    assert not any(same(a, b) for i, a in enumerate(results) for b in results[:i])


def test_all_attention_goes_through_cores_function_and_self_attention_without_a_mask(monkeypatch):
    """What sage, flash and xformers, which want CUDA, hang on: they take over that function, and some no mask."""
    calls = []

    def spy(q, k, *args, mask=None, **kwargs):
        calls.append((k.shape[2], mask is None))
        return attention.attention_pytorch(q, k, *args, mask=mask, **kwargs)

    monkeypatch.setattr(attention, "optimized_attention", spy)
    plain(model()).run()
    tokens, layers = 12 * 12, CONFIG.n_layers
    assert len(calls) == 2 * layers * STEPS
    assert [unmasked for length, unmasked in calls if length == tokens] == [True] * layers * STEPS


def test_the_page_says_what_is_tested():
    command = "python -m lumina_next.tests.nodes.write_combinations"
    assert DOC.read_text(encoding="utf-8") == document(COLUMNS), f"run {command}"
    assert {column.outcome for column in COLUMNS} <= set(OUTCOMES)
    named = [*EXCLUDED, *STOPS, *REMARKS]
    assert set(named) <= set(CELLS) and len(set(named)) == len(named)
