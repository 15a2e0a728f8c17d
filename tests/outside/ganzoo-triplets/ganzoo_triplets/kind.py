"""Two images of one domain and two of another, for each item of a batch."""

import torch
from torch import Tensor

from ganzoo import Batch, DataKind, DataSpec, TrainingSamples

ROWS = ("image", "unlike", "like", "other")


class TripletKind(DataKind):
    """`image` and `unlike` are of one domain; `like`, `other` of that with the number `target`. Both are at random."""

    def draw(self, samples: TrainingSamples, i: int) -> dict[str, Tensor]:
        source, target = samples.rng(i, "domains").permutation(len(samples.domains))[:2]
        drawn = {"target": torch.tensor(target)}
        for place, name in zip((source, source, target, target), ROWS, strict=True):
            drawn[name] = samples.draw(i, samples.domains[place], stream=name)[0].image
        return drawn

    def example(self, spec: DataSpec, step: int, count: int) -> Batch:
        images = torch.stack(list(super().example(spec, step, 2 * count).values()))
        target = torch.arange(count) % len(spec.domains)
        source = (target + 1) % len(spec.domains)
        rows = {name: images[domain, torch.arange(count)] for name, domain in (("image", source), ("like", target))}
        again = {
            name: images[domain, torch.arange(count) + count]
            for name, domain in (("unlike", source), ("other", target))
        }
        return rows | again | {"target": target}
