"""The caller's random numbers are the caller's: nothing that is called from Python changes what comes next."""

import pytest
import torch

from ganzoo import grid, load
from ganzoo.clock import seeded
from ganzoo.data.dataset import open_dataset
from ganzoo.evaluation import evaluate
from ganzoo.metrics import L1


@pytest.fixture
def left_alone():
    """Checks that the test leaves torch's generator where it was."""
    torch.manual_seed(7)
    before = torch.get_rng_state()
    yield
    assert torch.equal(torch.get_rng_state(), before)


def test_the_check_sees_a_draw(left_alone):
    state = torch.get_rng_state()
    torch.rand(1)
    assert not torch.equal(torch.get_rng_state(), state)
    torch.set_rng_state(state)


def test_seeded(left_alone):
    drawn = []
    for _ in range(2):
        with seeded(3, torch.device("cpu")):
            drawn.append(torch.rand(2))
    assert torch.equal(*drawn)
    assert torch.equal(drawn[0], torch.rand(2, generator=torch.Generator().manual_seed(3)))


def test_using_a_run(run, left_alone):
    translator = load(run)
    dataset = open_dataset(translator.recipe.data, translator.recipe.data_kind).for_model(translator.trainer)
    evaluate(translator.trainer, dataset, {"l1": L1()})
    grid.sample_grid(translator.trainer, dataset.test_images(2), False, "title")
    translator.translate_tensor(torch.zeros(1, 3, 32, 32), "A", "B")
