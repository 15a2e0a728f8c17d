"""What is checked of a trained model: translation, styles, generation, export."""

import copy
from itertools import combinations
from typing import Any

import torch
from torch import Tensor

from ganzoo.attributes import all_targets, parse_target
from ganzoo.data.kinds import random_batch
from ganzoo.export import Direction, exported, steady
from ganzoo.trainer import DataSpec, Trainer
from ganzoo_testing.case import Case

SAME = 1e-7  # in float64: far above rounding that norms amplify, far below what an image shows
Told = dict[str, tuple[str, Tensor]]  # a call -> the target that it names and the images that it gives


def check_use(case: Case, trainer: Trainer) -> None:
    """A model overrides `translate`, `generate` or both."""
    able = trainer.translates or trainer.generates
    case.expect(able, "translate and generate", "one of them, so that the trained model is of use")
    goes = trainer.directions() or not trainer.translates
    case.expect(goes, "directions()", "at least one (source, target) for a model that translates; it gives none")


def check_styles(case: Case, model: Trainer) -> None:
    """Styles are (batch, ...) and drawn by torch's global rng; each image follows its own."""
    if not model.has_styles:
        return
    model, batch = copy.deepcopy(model).double(), random_batch(case.spec, 0, 3)
    for source, target in model.directions():
        styles = {}
        if model.samples_styles:
            where = f"sample_style(3, {target})"
            styles[where] = _sampled(case, where, model, target)
        if model.encodes_styles:
            where = f"encode_style({target})"
            styles[where] = _call(case, where, model, "encode_style", batch.get(target, batch[source]), target)
        shapes = {where: tuple(style.shape) for where, style in styles.items()}
        for where, style in styles.items():
            expected = f"(3, ...) finite numbers for 3 images; the shape is {shapes[where]}"
            case.expect(len(style) == 3 and style.isfinite().all(), where, expected)
        case.expect(len(set(shapes.values())) == 1, " and ".join(shapes), f"styles of one shape; they are {shapes}")
        where, same = f"translate({source} to {target}) with styles", batch[source][:1].expand(3, -1, -1, -1)
        for style in styles.values():
            made = _call(case, where, model, "translate", same, source, target, style)
            case.expect(
                not torch.allclose(made[0], made[1], rtol=0, atol=SAME),
                where,
                "another image for another style; the first two of a batch are the same: use style[i] for image i",
            )


def _sampled(case: Case, where: str, model: Trainer, target: str) -> Tensor:
    rng = model.clock.shared.get_state()
    first, again, other = (_call(case, where, model, "sample_style", 3, target, seed=seed) for seed in (0, 0, 1))
    seeded = torch.equal(first, again) and not torch.equal(first, other)
    case.expect(seeded, where, "styles from torch's global rng, the same for the same torch.manual_seed alone")
    untouched = torch.equal(model.clock.shared.get_state(), rng)
    case.expect(untouched, where, "styles from torch's global rng; self.clock belongs to the training")
    return first


def check_translate(case: Case, trainer: Trainer, fresh: Trainer) -> None:
    """`translate` keeps the images' shape and range, depends on weights and images alone, and goes where it is told."""
    batch, precise = random_batch(case.spec, 0), copy.deepcopy(fresh).double()
    reference = trainer.has_styles and not trainer.samples_styles
    exact: dict[str, Told] = {}
    for source, target in trainer.directions():
        where, images = f"translate({source} to {target})", batch[source]
        shape = (len(images), case.spec.channels.get(target, case.spec.channels[source]), *images.shape[2:])
        args = (images, source, target, 0, *((batch.get(target, images),) if reference else ()))
        fake = _check_images(case, where, trainer, fresh, shape, "translate_with", *args)
        unchanged = fake.shape == images.shape and torch.equal(fake, images)
        case.expect(
            not unchanged, where, "a translation; it gives its input back: leave the direction out of directions()"
        )
        exact.setdefault(source, {})[where] = (target, _call(case, where, precise, "translate_with", *args))
    for found in exact.values():
        _check_told(case, found)


def check_generate(case: Case, trainer: Trainer, fresh: Trainer) -> None:
    """`generate` gives images of the right shape and range, by torch's global rng, and of the label asked for."""
    if not trainer.generates:
        return
    precise, exact = copy.deepcopy(fresh).double(), {}
    shape = (3, case.spec.channels[case.spec.domains[0]], case.spec.size, case.spec.size)
    for label in (None, *all_targets(case.spec)):
        where, rng = f"generate(3, {label})", trainer.clock.shared.get_state()
        _check_images(case, where, trainer, fresh, shape, "generate", 3, label)
        untouched = torch.equal(trainer.clock.shared.get_state(), rng)
        case.expect(untouched, where, "draws from torch's global rng; self.clock belongs to the training")
        if label:
            exact[where] = (label, _call(case, where, precise, "generate", 3, label))
    _check_told(case, exact)
    first, other = (_call(case, "generate", fresh, "generate", 3, None, seed=seed) for seed in (0, 1))
    varied = trainer.distinct_images is not None or not torch.equal(first, other)
    case.expect(varied, "generate", "other images for another random seed; if there are few, distinct_images says so")


def check_export(case: Case, trainer: Trainer) -> None:
    """`translate` is exported by torch.export, to a program that makes the same images of any number of them."""
    for source, target in trainer.directions()[:1]:
        where, images = f"export({source} to {target})", random_batch(case.spec, 0, 3)[source]
        part = Direction(trainer, source, target)
        inputs = part.inputs(images).values()
        expected = (
            "a translate that torch.export can follow, so one that does the same whatever the images show and "
            "however many there are (images.shape[0], not len(images))"
        )
        with case.expecting(where, expected):
            program = exported(part, images[:2])
        with steady(trainer):
            apart = (program.module()(*inputs) - part(*inputs)).abs().max().item()
        case.expect(apart <= 1e-4, where, f"the images of translate; they are {apart:.2g} apart")


def _call(case: Case, where: str, model: Trainer, method: str, *args: Any, seed: int = 0) -> Tensor:
    """What the method gives; tensors among `args` are given in the model's precision, and must stay as they are."""
    parameter = next(model.parameters())
    given = [arg.to(parameter, copy=True) if isinstance(arg, Tensor) else arg for arg in args]
    before = copy.deepcopy(given)
    with case.expecting(where, "images"), model.inference():
        torch.manual_seed(seed)
        result = getattr(model, method)(*given)
    for now, then in zip(given, before, strict=True):
        same = not isinstance(now, Tensor) or torch.equal(now, then)
        case.expect(same, where, "its input to stay as it is; it writes into it: clone it")
    return result


def _check_images(
    case: Case, where: str, trainer: Trainer, fresh: Trainer, shape: tuple[int, ...], method: str, *args: Any
) -> Tensor:
    """Images of this shape, the same again and after loading; nothing that the model holds has changed."""
    before = copy.deepcopy(trainer.state_dict())
    made, again = (_call(case, where, trainer, method, *args) for _ in range(2))
    for key, value in trainer.state_dict().items():
        case.expect(torch.equal(value, before[key]), where, f"no lasting change, but {key} changed")
    case.expect(tuple(made.shape) == shape, where, f"images of shape {shape}; they are {tuple(made.shape)}")
    largest = made.abs().max().item()
    case.expect(largest <= 1 + 1e-4, where, f"values in [-1, 1]; the largest is {largest:.3g}: end with a tanh")
    case.expect(torch.equal(made, again), where, "the same images for the same random seed")
    apart = (made - _call(case, where, fresh, method, *args)).abs().max().item()
    case.expect(
        apart == 0,
        where,
        f"the same images from a model that only loads the weights; they are {apart:.2g} apart. What they depend on "
        "must be a parameter or a buffer: there self.clock is at its beginning, and attributes are as __init__ left "
        "them",
    )
    return made


def _check_told(case: Case, made: Told) -> None:
    """Targets that exclude each other give different images."""
    for (one, (target, images)), (other, (another, others)) in combinations(made.items(), 2):
        case.expect(
            not _exclude(case.spec, target, another) or not torch.allclose(images, others, rtol=0, atol=SAME),
            other,
            f"other images than {one} gives; they are the same, so nothing tells the networks where to go (a constant "
            "plane beside the image does not survive an instance norm)",
        )


def _exclude(spec: DataSpec, one: str, other: str) -> bool:
    """Whether no image can be both; without labels, domains exclude each other."""
    if not spec.labels:
        return True
    first, second = parse_target(spec, one), parse_target(spec, other)
    return any(first[label] != second[label] for label in first.keys() & second.keys())
