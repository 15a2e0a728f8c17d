"""Translations of faces whose quality is known beforehand: the ground truth, the input itself, a blur."""

from types import SimpleNamespace

import pytest
import torch
from ganzoo_worlds.evaluation import compared, rendered, state_of
from ganzoo_worlds.sources import TEST
from torch.nn import functional as F

SIZE = 32


class Answer:
    """A model with styles whose translations are made up."""

    def __init__(self, answer, styles):
        self.spec, self.answer = SimpleNamespace(size=SIZE), answer
        self.trainer = SimpleNamespace(encodes_styles=styles, samples_styles=styles)

    def translate_tensor(self, images, source, target, seed=0, reference=None):
        person = next(s for s in range(TEST) if torch.equal(rendered(s, SIZE, state_of(s, source)), images[0]))
        hair = state_of(person, target)[1]
        if reference is not None:
            states = ((s, state_of(s, target)) for s in range(TEST))
            hair = next(state[1] for s, state in states if torch.equal(rendered(s, SIZE, state), reference[0]))
        return self.answer(images, person, (target, hair, *state_of(person, target)[2:]), seed)


def truth(images, person, state, seed):
    return rendered(person, SIZE, state)[None]


def same(images, person, state, seed):
    return images


def another(images, person, state, seed):
    return rendered((person + 1) % TEST, SIZE, state)[None]


def without_glasses(images, person, state, seed):
    return rendered(person, SIZE, (*state[:3], False))[None]


def faint(images, person, state, seed):
    return F.avg_pool2d(truth(images, person, state, seed), 3, 1, 1) * (0.5 if seed % 2 else 1.0)


def shares(answer, styles=True):
    rows = list(compared(Answer(answer, styles), "photo", "cartoon"))
    assert len(rows) == TEST
    return {name: sum(row[name] for row in rows) / TEST for name in rows[0]}


def test_what_a_translation_keeps_and_takes():
    perfect = {"domain": 1, "identity": 1, "glasses": 1, "smile": 1}
    assert shares(truth) == perfect | {"hair_taken": 1, "diversity": 0}
    assert shares(truth, styles=False) == perfect | {"hair_kept": 1}
    assert shares(same)["domain"] == shares(same)["hair_taken"] == 0
    assert shares(another)["identity"] < 0.1 < shares(another)["domain"]
    assert shares(without_glasses)["glasses"] == pytest.approx(0.5, abs=0.2)
    assert shares(faint)["diversity"] > 0.05
