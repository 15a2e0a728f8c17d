"""A model as it is checked: what it is built from, and how its steps are run."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ganzoo.loop import Engine
from ganzoo.recipe import Recipe
from ganzoo.trainer import Batch, DataSpec, Phase, Trainer
from ganzoo_testing.helpers import batch, build
from ganzoo_testing.subject import ConformanceError, Subject

FURTHEST = 1_000_000  # the last step that may be the first one of a phase
LOGITS = (
    "Logits may be a list, a tensor for each scale: gan.adversarial(logits) and gan.discriminator_terms(D, real, fake, "
    "self.clock) take both"
)
HINTS = {  # what errors of torch mean here
    "backward through the graph a second time": "Leave tensors for later phases in `carry`, in dicts, lists and "
    "tuples, not in an attribute nor in an object of your own: the engine detaches them",
    "not list": LOGITS,
    "'list' object has no attribute": LOGITS,
}


@dataclass(frozen=True)
class Case(Subject):
    """A registered model with options, on data of a kind."""

    recipe: Recipe
    spec: DataSpec
    checkpoint: Path = Path()
    """where its checkpoint is written"""
    overlapping: bool = False
    """whether the model means to train a parameter with several optimizers"""

    def model(self) -> Trainer:
        """A fresh one."""
        return self.recipe.trainer(self.recipe.options, self.spec)

    def engine(self, **train: Any) -> Engine:
        """A fresh one; `train` are other settings of the training."""
        return build(replace(self.recipe, train=self.recipe.train.model_copy(update=train)), self.spec)

    def expect_equal(self, state: Mapping[str, Tensor], other: Mapping[str, Tensor], expected: str) -> None:
        """The weights of two networks are the same to the bit."""
        for key, value in state.items():
            self.expect(torch.equal(value, other[key]), key, expected)

    def moments(self, engine: Engine, start: int, count: int) -> list[int]:
        """Steps from `start` on: the first `count`, and the first of each phase that is in none of them."""
        found = list(range(start, start + count))
        for phase in [phase for phase in engine.phases if not any(_due(engine, phase, step) for step in found)]:
            step = next((step for step in range(found[-1], FURTHEST) if _due(engine, phase, step)), None)
            if step is None:
                expected = f"a phase that takes place; its `when` holds in no step up to {FURTHEST:,}"
                raise self.wrong(f'phase "{phase.name}"', expected)
            found.append(step)
        return sorted(set(found))

    def run(
        self, engine: Engine, steps: Iterable[int], take: Callable[[Batch], Any] | None = None, how: str = ""
    ) -> None:
        """These steps, those between them left out, on random images; whatever goes wrong is told with its step."""
        for step in steps:
            engine.clock.set(step * engine.clock.batch)
            try:
                (take or engine.step)(batch(engine, step))
            except ConformanceError:
                raise
            except Exception as error:
                found = f"{type(error).__name__}: {error}"
                hint = next((f" {hint}" for words, hint in HINTS.items() if words in found), "")
                raise self.wrong(f"step {step}{how}", f"a step without errors; it gives {found}{hint}") from error


def _due(engine: Engine, phase: Phase, step: int) -> bool:
    engine.clock.set(step * engine.clock.batch)  # `when` may look at the clock, too
    return phase.when(step)
