"""How right a run is: by the truth where the data has one, by the way back, or by what a classifier finds."""

from collections.abc import Callable, Mapping, Sequence
from math import isnan, nan

import torch
from torch import Tensor

from ganzoo.attributes import all_targets, parse_target
from ganzoo.data.dataset import Dataset
from ganzoo.metrics import Metric
from ganzoo.trainer import Trainer

Figures = dict[str, dict[str, float]]
Progress = Callable[[int, int], None]
GENERATED = 200  # new images that are judged


def evaluate(
    trainer: Trainer,
    dataset: Dataset,
    metrics: Mapping[str, Metric],
    progress: Progress | None = None,
) -> Figures:
    """Means over the test images, for each direction "source->target", of the metrics by their names.

    Metrics against the truth are there where the source knows it. `NAME_identity` is that of the identity baseline, the
    untouched source image. `cycle_l1`, where the model also translates back, is the cycle-consistency error, of images
    in [0, 1]. What a model measures of itself comes first (`Trainer.figures`). Models with labels and models
    that translate nothing have figures of their own beside the metrics.
    """
    dataset = dataset.for_model(trainer)
    if trainer.directions() and trainer.spec.labels:
        return evaluate_labels(trainer, dataset, metrics, progress)
    tests = dataset.test_images()
    if not trainer.directions():
        return trainer.own_metrics(tests) | evaluate_generated(trainer, dataset, tests, metrics, progress)
    device, dtype = next((p.device, p.dtype) for p in trainer.parameters())
    directions = trainer.directions()
    total = sum(len(tests[here]) for here, _ in directions)
    done, figures, collecting = 0, trainer.own_metrics(tests), _collecting(metrics)
    for here, there in directions:
        rows, results = [], []
        for index, image in enumerate(tests[here]):
            torch.manual_seed(index)  # a model that draws at test time draws the same every time
            real = image[None].to(device, dtype)
            with trainer.inference():
                made = trainer.translate(real, here, there)
                back = trainer.translate(made, there, here) if (there, here) in directions else None
            row = {} if back is None else {"cycle_l1": _l1(back, real)}
            result = made[0].float().cpu()
            if collecting:
                results.append(result)
            if dataset.ground_truth:
                row |= against_truth(metrics, result, image, tests[there][index])
            rows.append(row)
            done += 1
            if progress:
                progress(done, total)
        figures[f"{here}->{there}"] = _means(rows) | against_real(metrics, results, tests[here], tests[there])
    return figures


def evaluate_generated(
    trainer: Trainer,
    dataset: Dataset,
    tests: dict[str, list[Tensor]],
    metrics: Mapping[str, Metric],
    progress: Progress | None = None,
) -> Figures:
    """What a classifier, trained on the real training split, finds in images that are made from nothing.

    Of a model that knows labels, `asked`: the share of images, as many for every target, that are what was asked for.
    Of another, `sure`: the share in which it is sure of all labels, and `covered`: the share of labels that it is sure
    to have found at all. `classifier_on_real`: how often it is right about real test images. Where the source has no
    labels only `spread`, the mean L1 between two images. `_on_real` are the same of real test images.
    """
    spec = trainer.spec
    if spec.domains != ("image",):
        return {}
    torch.manual_seed(0)
    if not spec.labels:
        images = _generated(trainer, GENERATED)
        spread = {"spread": _spread(images), "spread_on_real": _spread(torch.stack(tests["image"]))}
        return {"generated": spread | against_real(metrics, list(images), (), tests["image"])}
    judge = dataset.classifier(progress)
    if dataset.kind.labelled:
        shares, parts = [], []
        for target in all_targets(spec):
            asked = parse_target(spec, target)
            parts.append(_generated(trainer, GENERATED // len(all_targets(spec)), target))
            found = judge.labels(parts[-1])
            right = [found[:, spec.labels.index(name)] == there for name, there in asked.items()]
            shares.append(_share(torch.stack(right).all(dim=0)))
        figures, images = {"asked": sum(shares) / len(shares)}, torch.cat(parts)
    else:
        images = _generated(trainer, GENERATED)
        sure, sure_on_real = judge.sure(images), judge.sure(torch.stack(tests["image"]))
        covered = judge.labels(images)[sure].any(dim=0)
        figures = {"sure": _share(sure), "sure_on_real": _share(sure_on_real), "covered": _share(covered)}
    known = judge.accuracy.values()
    figures |= {"classifier_on_real": sum(known) / len(known)} if known else {}
    return {"generated": figures | against_real(metrics, list(images), (), tests["image"])}


def _share(flags: Tensor) -> float:
    return flags.float().mean().item()


def _spread(images: Tensor) -> float:
    return _l1(images[1:], images[:-1]) if len(images) > 1 else 0.0


def _generated(trainer: Trainer, count: int, label: str | None = None) -> Tensor:
    with trainer.inference():
        return trainer.generate(max(1, count), label).float().cpu()


def evaluate_labels(
    trainer: Trainer,
    dataset: Dataset,
    metrics: Mapping[str, Metric],
    progress: Progress | None = None,
) -> Figures:
    """For each change of one label, over the test images that do not have it yet: is it there, are the others kept?

    `asked` and `kept` are the shares of images by a classifier trained on the real training split. Where the source
    knows the answer, `asked_truth` and `kept_truth` are those by the nearest (L1) of the image's true renderings with
    all combinations of labels, and metrics against the truth compare with the right one. `_identity` is the
    identity baseline, and "mean" the mean over all changes.
    """
    spec = trainer.spec
    judge = dataset.classifier()
    device, dtype = next((p.device, p.dtype) for p in trainer.parameters())
    tests = list(dataset.test_items("image"))
    rows: dict[str, list[dict[str, float]]] = {target: [] for target in all_targets(spec)}
    collecting = _collecting(metrics)
    befores: dict[str, list[Tensor]] = {target: [] for target in rows}
    results: dict[str, list[Tensor]] = {target: [] for target in rows}
    reals: dict[str, list[Tensor]] = {target: [] for target in rows}
    for index, (ref, image) in enumerate(tests):
        own = dict(zip(spec.labels, ref.labels, strict=True))
        for group in spec.groups:
            if sum(own[name] for name in group) != 1:  # such as no hair: no colour to keep or to change
                own |= dict.fromkeys(group, nan)
        unknown = any(isnan(value) for value in own.values())
        answers = {} if unknown else dataset.counterparts(ref)
        for target in rows:
            asked = parse_target(spec, target)
            if any(isnan(own[name]) for name in asked):
                continue
            if all(own[name] == there for name, there in asked.items()):
                reals[target].append(image)
                continue
            torch.manual_seed(index)  # a model that draws at test time draws the same every time
            with trainer.inference():
                made = trainer.translate(image[None].to(device, dtype), "image", target)[0].float().cpu()
            if collecting:
                befores[target].append(image)
                results[target].append(made)
            rows[target].append(row := {})
            for name, result in (("", made), ("_identity", image)):
                found = dict(zip(spec.labels, judge.labels(result[None])[0].tolist(), strict=True))
                row[f"asked{name}"], row[f"kept{name}"] = _as_asked(found, own, asked)
                if answers:
                    found = dict(zip(spec.labels, min(answers, key=lambda a: _l1(answers[a], result)), strict=True))
                    row[f"asked_truth{name}"], row[f"kept_truth{name}"] = _as_asked(found, own, asked)
            if answers:
                right = answers[tuple(bool((own | asked)[label]) for label in spec.labels)]
                row |= against_truth(metrics, made, image, right)
        if progress:
            progress(index + 1, len(tests))
    figures = {
        f"image->{target}": _means(found) | against_real(metrics, results[target], befores[target], reals[target])
        for target, found in rows.items()
        if found
    }
    return figures | ({"mean": _means(list(figures.values()))} if figures else {})


def _as_asked(found: dict[str, bool], own: dict[str, float], asked: dict[str, bool]) -> tuple[float, float]:
    """Whether all that was asked for is there, and whether all else that is known is as it was."""
    there = all(found[name] == value for name, value in asked.items())
    kept = all(found[name] == value for name, value in own.items() if name not in asked and not isnan(value))
    return float(there), float(kept)


def _means(rows: list[dict[str, float]]) -> dict[str, float]:
    """Over those rows that have the figure, in the order of the first that has all."""
    names = dict.fromkeys(name for row in rows for name in row)
    return {name: sum(found) / len(found) for name in names if (found := [row[name] for row in rows if name in row])}


def _collecting(metrics: Mapping[str, Metric]) -> bool:
    """Whether all made images must be kept in memory until the end."""
    return any(metric.against == "real" for metric in metrics.values())


def against_truth(metrics: Mapping[str, Metric], made: Tensor, before: Tensor, truth: Tensor) -> dict[str, float]:
    """The metrics of one made image, and of the identity baseline; images (channels, height, width) in [-1, 1]."""
    figures = {}
    for result, suffix in ((made, ""), (before, "_identity")):
        if result.shape == truth.shape:
            for name, metric in metrics.items():
                if metric.against == "truth":
                    figures[f"{name}{suffix}"] = metric((result + 1) / 2, (truth.to(result) + 1) / 2)
    return figures


def against_real(
    metrics: Mapping[str, Metric], made: Sequence[Tensor], before: Sequence[Tensor], real: Sequence[Tensor]
) -> dict[str, float]:
    """The metrics of all made images of a direction, and of the identity baseline; images in [-1, 1]."""
    figures = {}
    for result, suffix in ((made, ""), (before, "_identity")):
        for name, metric in metrics.items():
            if metric.against == "real" and min(len(result), len(real)) > 1:
                figures[f"{name}{suffix}"] = metric([(p + 1) / 2 for p in result], [(p + 1) / 2 for p in real])
    return figures


def _l1(a: Tensor, b: Tensor) -> float:
    return (a - b).abs().mean().item() / 2
