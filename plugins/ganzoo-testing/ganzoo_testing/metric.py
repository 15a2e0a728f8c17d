"""The conformance test of a metric: what evaluation, reports and the choice of the best checkpoint rely on."""

import math
import pickle
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from ganzoo.metrics import Metric
from ganzoo.registry import registry
from ganzoo_testing.parts import built
from ganzoo_testing.subject import Subject

SHAPES = ((1, 32, 32), (2, 40, 32), (3, 48, 64), (4, 36, 36))
Pairs = list[tuple[Tensor, Tensor]]


def check_metric(name: str, options: Mapping[str, Any] | None = None) -> None:
    """Puts a registered metric through its paces on random images. Raises ConformanceError.

    The images have 1 to 4 channels and several sizes, of which the smallest is 32 px. `options` are the metric's own.
    """
    subject = Subject("metric", name)
    equal, different, single = (built(subject, options) for _ in range(3))
    _check_facts(subject, equal)
    rng = torch.Generator().manual_seed(0)
    noise = [torch.rand(2, *shape, generator=rng) for shape in SHAPES]
    coarse = [torch.rand(2, channels, 3, 3, generator=rng) for channels, *_ in SHAPES]
    smooth = [F.interpolate(x, shape[1:], mode="bilinear") for x, shape in zip(coarse, SHAPES, strict=True)]
    pairs = list(zip(noise, smooth, strict=True))  # noise is far from the smooth images in every respect

    value = _value(subject, "other images", different, pairs)
    subject.expect(math.isfinite(value), "other images", f"a finite number; it is {value}")
    best = _value(subject, "equal images", equal, [(target, target) for target in smooth])
    which, better = ("higher", best > value) if equal.higher_is_better else ("lower", best < value)
    subject.expect(better, "equal images", f"a {which} value than that of noise, {value:.6g}; it is {best:.6g}")
    equal.reset()
    again = _value(subject, "after reset()", equal, pairs)
    expected = f"{value:.6g}, as of a new metric; it is {again:.6g}: use add_state for all state"
    subject.expect(_alike(again, value), "reset()", expected)
    ones = [(fake[row : row + 1], target[row : row + 1]) for fake, target in pairs for row in range(len(fake))]
    found = _value(subject, "one by one", single, ones)
    expected = f"{value:.6g} one image at a time, as two at a time; it is {found:.6g}"
    subject.expect(_alike(found, value), "update()", expected)
    with subject.expecting("pickle", "a metric that can be pickled"):
        copied = pickle.loads(pickle.dumps(different)).metric_state
    for key, state in different.metric_state.items():
        same = all(torch.equal(a, b) for a, b in zip(_listed(state), _listed(copied[key]), strict=True))
        subject.expect(same, "pickle", f'the same state "{key}" in a copy')


def _check_facts(subject: Subject, metric: Metric) -> None:
    """The class says what it compares with and which way is better, as it is registered."""
    expected = f'"ground truth" or "real"; it is {metric.against!r}'
    subject.expect(metric.against in ("ground truth", "real"), "against", expected)
    expected = f"True or False; it is {metric.higher_is_better!r}"
    subject.expect(metric.higher_is_better in (True, False), "higher_is_better", expected)
    better = registry().find("metric", subject.name).facts.get("better")
    expected = "higher" if metric.higher_is_better else "lower"
    found = f'better="{expected}", as its class says; it is registered with {better!r}'
    subject.expect(better == expected, "better", found)


def _value(subject: Subject, where: str, metric: Metric, pairs: Pairs) -> float:
    """Of these fakes and their targets."""
    for fake, target in pairs:
        shape = "x".join(map(str, fake.shape))
        with subject.expecting(f"{where}, update() with {shape}", "no error for 1 to 4 channels and any size"):
            if metric.against == "real":
                metric.update(target, True)
                metric.update(fake, False)
            else:
                metric.update(fake, target)
    with subject.expecting(f"{where}, compute()", "a scalar tensor"):
        return metric.compute().item()


def _listed(state: list[Tensor] | Tensor) -> list[Tensor]:
    return state if isinstance(state, list) else [state]


def _alike(a: float, b: float) -> bool:
    return math.isclose(a, b, rel_tol=1e-4, abs_tol=1e-4)
