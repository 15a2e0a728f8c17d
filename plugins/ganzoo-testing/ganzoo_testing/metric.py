"""The conformance test of a metric: what evaluation, reports and the choice of the best checkpoint rely on."""

import math
import pickle
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from pydantic import TypeAdapter, ValidationError
from torch import Tensor
from torch.nn import functional as F

from ganzoo.metrics import Metric
from ganzoo.options import MetricPart
from ganzoo.registry import registry
from ganzoo_testing.report import expecting, wrong

SHAPES = ((1, 32, 32), (2, 40, 32), (3, 48, 64), (4, 36, 36))
Pairs = list[tuple[Tensor, Tensor]]


def check_metric(name: str, options: Mapping[str, Any] | None = None) -> None:
    """Puts a registered metric through its paces on random images. Raises ConformanceError.

    The images have 1 to 4 channels and several sizes, of which the smallest is 32 px. `options` are the metric's own.
    """
    what = f'metric "{name}"'
    _check_facts(what, name)
    try:
        part = TypeAdapter(MetricPart).validate_python({"name": name, **(options or {})})
    except ValidationError as error:
        raise wrong(what, "options", f"valid options; {error.errors()[0]['msg']}") from error
    with expecting(what, "constructor", "a metric that can be built again and again"):
        equal, different, single = (part.build() for _ in range(3))
    pairs = list(zip(_noise(), _targets(), strict=True))
    value = _value(what, "other images", different, pairs)
    if not math.isfinite(value):
        raise wrong(what, "other images", f"a finite number; it is {value}")
    _check_best(what, equal, value)
    equal.reset()
    if not _alike(again := _value(what, "after reset()", equal, pairs), value):
        raise wrong(what, "reset()", f"{value:.6g}, as of a new metric; it is {again:.6g}: use add_state for all state")
    _check_batches(what, single, pairs, value)
    _check_pickle(what, different)


def _check_facts(what: str, name: str) -> None:
    """The class says what it compares with and which way is better, as it is registered."""
    cls, better = registry().load("metric", name), registry().find("metric", name).facts.get("better")
    if not isinstance(cls, type) or not issubclass(cls, Metric):
        raise wrong(what, "class", f"a subclass of ganzoo.Metric; it is {cls!r}")
    if cls.against not in ("ground truth", "real"):
        raise wrong(what, "against", f'"ground truth" or "real"; it is {cls.against!r}')
    if cls.higher_is_better not in (True, False):
        raise wrong(what, "higher_is_better", f"True or False; it is {cls.higher_is_better!r}")
    expected = "higher" if cls.higher_is_better else "lower"
    if better != expected:
        raise wrong(what, "better", f'better="{expected}", as its class says; it is registered with {better!r}')


def _noise() -> Iterator[Tensor]:
    """Images, (2, channels, height, width) in [0, 1]."""
    generator = torch.Generator().manual_seed(1)
    for shape in SHAPES:
        yield torch.rand(2, *shape, generator=generator)


def _targets() -> Iterator[Tensor]:
    """Smooth images of the same shapes: noise is far from them in every respect."""
    generator = torch.Generator().manual_seed(0)
    for channels, *size in SHAPES:
        coarse = torch.rand(2, channels, 3, 3, generator=generator)
        yield F.interpolate(coarse, size, mode="bilinear")


def _check_best(what: str, metric: Metric, value: float) -> None:
    """Images that are the target get a better value than others."""
    best = _value(what, "equal images", metric, [(target, target) for target in _targets()])
    if not (best > value if metric.higher_is_better else best < value):
        which = "higher" if metric.higher_is_better else "lower"
        raise wrong(what, "equal images", f"a {which} value than that of noise, {value:.6g}; it is {best:.6g}")


def _check_batches(what: str, metric: Metric, pairs: Pairs, value: float) -> None:
    """It does not matter which images come together."""
    ones = [(fake[row : row + 1], target[row : row + 1]) for fake, target in pairs for row in range(len(fake))]
    if not _alike(found := _value(what, "one by one", metric, ones), value):
        raise wrong(what, "update()", f"{value:.6g} one image at a time, as two at a time; it is {found:.6g}")


def _check_pickle(what: str, metric: Metric) -> None:
    """A copy has what the metric has seen."""
    with expecting(what, "pickle", "a metric that can be pickled"):
        copied = pickle.loads(pickle.dumps(metric)).metric_state
    for key, state in metric.metric_state.items():
        if not all(torch.equal(a, b) for a, b in zip(_parts(state), _parts(copied[key]), strict=True)):
            raise wrong(what, "pickle", f'the same state "{key}" in a copy')


def _parts(state: list[Tensor] | Tensor) -> list[Tensor]:
    return state if isinstance(state, list) else [state]


def _feed(what: str, where: str, metric: Metric, pairs: Pairs) -> None:
    for fake, target in pairs:
        shape = "x".join(str(side) for side in fake.shape)
        with expecting(what, f"{where}, update() with {shape}", "no error for 1 to 4 channels and any size"):
            if metric.against == "real":
                metric.update(target, True)
                metric.update(fake, False)
            else:
                metric.update(fake, target)


def _value(what: str, where: str, metric: Metric, pairs: Pairs) -> float:
    _feed(what, where, metric, pairs)
    with expecting(what, f"{where}, compute()", "a scalar tensor"):
        value = metric.compute()
        return value.item()


def _alike(a: float, b: float) -> bool:
    return math.isclose(a, b, rel_tol=1e-4, abs_tol=1e-4)
