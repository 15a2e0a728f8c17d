"""Translations of faces whose quality is known beforehand: the ground truth, the input itself, a blur."""

import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from ganzoo_worlds.evaluation import compared, rendered, state_of
from ganzoo_worlds.sources import TEST

SIZE = 32


class Answer:
    """A model whose translations are made up."""

    def __init__(self, answer, styles):
        self.spec, self.answer = SimpleNamespace(size=SIZE), answer
        self.trainer = SimpleNamespace(encodes_styles=styles, samples_styles=styles)

    def translate_tensor(self, images, source, target, seed=0, reference=None):
        person = next(s for s in range(TEST) if torch.equal(rendered(s, SIZE, state_of(s, source)), images[0]))
        hair = state_of(person, source if target == "cartoon" else target)[1]
        if reference is not None:
            states = ((s, state_of(s, target)) for s in range(TEST))
            hair = next(state[1] for s, state in states if torch.equal(rendered(s, SIZE, state), reference[0]))
        state = state_of(person, target)
        return self.answer(images, person, (state[0], hair, *state[2:]), seed)


def truth(images, person, state, seed):
    return rendered(person, SIZE, state)[None]


def same(images, person, state, seed):
    return images


def another(images, person, state, seed):
    return rendered((person + 1) % TEST, SIZE, state)[None]


def without_glasses(images, person, state, seed):
    return rendered(person, SIZE, (*state[:3], False))[None]


def faint(images, person, state, seed):
    return truth(images, person, state, seed) * (0.5 if seed >= TEST else 1.0)


def shares(answer, source="photo", target="cartoon", styles=True):
    rows = list(compared(Answer(answer, styles), source, target))
    assert len(rows) == TEST
    return {name: sum(row[name] for row in rows) / TEST for name in rows[0]}


@pytest.mark.parametrize(("source", "target"), [("photo", "cartoon"), ("black", "blond")])
def test_what_a_translation_keeps_and_takes(source, target):
    perfect = dict.fromkeys(("domain", "identity", "glasses", "smile", "hair"), 1)
    by_reference = {f"{name} by reference": 1 for name in perfect}
    assert shares(truth, source, target) == perfect | by_reference | {"diversity": 0}
    assert shares(truth, source, target, styles=False) == perfect
    found = shares(same, source, target)
    assert found["domain"] == found["hair by reference"] == 0 and found["glasses"] == 1
    assert shares(another, source, target, styles=False)["identity"] < 0.1
    assert shares(without_glasses, source, target, styles=False)["glasses"] == pytest.approx(0.5, abs=0.2)
    assert shares(faint, source, target)["diversity"] > 0.05


def test_a_run_is_evaluated(tmp_path):
    (tmp_path / "tiny.toml").write_text(
        'model = "cyclegan"\n[data]\nsource = "faces"\ndomains = ["blond", "brown"]\nsize = 32\n'
        '[options]\ngenerator = { name = "small", width = 2 }\ndiscriminator = { name = "patch", width = 2, layers = 1 }\n'
        "[train]\nimages = 2\n"
    )
    ganzoo = Path(sys.executable).with_name("ganzoo")
    subprocess.run([ganzoo, "run", "tiny.toml", "--out", "run"], cwd=tmp_path, check=True, capture_output=True)
    command = [ganzoo, "evaluate-faces", "run"]
    said = subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, text=True).stdout
    assert "blond->brown" in said and "glasses are kept" in said
    done = subprocess.run([*command, "--json"], cwd=tmp_path, check=True, capture_output=True, text=True)
    found = json.loads(done.stdout)
    assert found.keys() == {"blond->brown", "brown->blond", "mean"}
    assert all(0 <= value <= 1 for values in found.values() for value in values.values())
