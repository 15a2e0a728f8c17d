"""Images of random domains, and two reference images of another random one."""

import torch
from torch import Tensor

from ganzoo import Batch, DataKind, DataSpec, TrainingSamples


class DomainsWithReferences(DataKind):
    """Every domain is as likely as any other, however many images it has.

    `batch["image"]`, `batch["reference"]`, `batch["reference2"]`: (batch, channels, height, width) in [-1, 1], drawn
    independently. `batch["domain"]` and `batch["target"]`: (batch,) places in `spec.domains`, of the image and of its
    references.
    """

    def draw(self, samples: TrainingSamples, i: int) -> dict[str, Tensor]:
        domain, target = samples.rng(i, "domains").integers(len(samples.domains), size=2).tolist()
        streams = {"image": domain, "reference": target, "reference2": target}
        images = {name: samples.draw(i, samples.domains[d], stream=name)[0].image for name, d in streams.items()}
        return images | {"domain": torch.tensor(domain), "target": torch.tensor(target)}

    def example_spec(self, size: int) -> DataSpec:
        return DataSpec(("cat", "dog", "wild"), dict.fromkeys(("cat", "dog", "wild"), 3), size)

    def example(self, spec: DataSpec, step: int, count: int) -> Batch:
        names = ("image", "reference", "reference2")
        batches = [super(DomainsWithReferences, self).example(spec, 3 * step + place, count) for place in range(3)]
        domain, target = torch.randint(len(spec.domains), (2, count), generator=torch.Generator().manual_seed(step))
        images = {name: batch[spec.domains[0]] for name, batch in zip(names, batches, strict=True)}
        return images | {"domain": domain, "target": target}
