"""Networks that were trained with the authors' PyTorch code, for use here."""

import re
from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from ganzoo import DataSpec, GanzooError, Imported, Importer, TrainedOn

Weights = dict[str, Tensor]
STATISTICS = ("running_mean", "running_var", "num_batches_tracked")  # saved by the authors' torch, and never used


class StarGANImporter(Importer):
    """Generator and discriminator (`200000-G.ckpt`, `200000-D.ckpt`): D reads the labels that a target leaves open."""

    def knows(self, weights: Weights) -> bool:
        """Whether they are of a generator of any number of blocks, or of a discriminator of any number of layers."""
        return _is_generator(weights) or _is_discriminator(weights)

    def convert(self, files: Mapping[Path, Weights], known: TrainedOn) -> Imported:
        """To the labels, from images as they are."""
        generators = [weights for weights in files.values() if _is_generator(weights)]
        discriminators = [weights for weights in files.values() if _is_discriminator(weights)]
        if (len(generators), len(discriminators)) != (1, 1):
            raise GanzooError(
                f"{', '.join(map(str, files))}: give the generator and the discriminator, such as 200000-G.ckpt and "
                "200000-D.ckpt. D reads the labels that a translation is to keep."
            )
        G, D = generators[0], discriminators[0]
        channels, classes = D["main.0.weight"].shape[1], len(D["conv2.weight"])
        if len(known.labels) != classes:
            given = ", ".join(known.labels) or "none"
            raise GanzooError(f"This StarGAN has {classes} labels: name them in order, with --labels (now: {given}).")
        if G["main.0.weight"].shape[1] != channels + classes:
            more = G["main.0.weight"].shape[1] - channels
            raise GanzooError(
                f"G sees {more} planes beside the image, D knows {classes} labels: they are not of one training, or of "
                "one with several data sets, which cannot be imported."
            )
        layers = sum(name.startswith("main.") and name.endswith(".weight") for name in D)
        blocks = len({match[1] for name in G if (match := re.match(r"main\.(\d+)\.main\.", name))})
        renamed = {"main": "layers", "conv1": "src", "conv2": "cls"}
        return Imported(
            spec=DataSpec(
                ("image",),
                {"image": channels},
                D["conv2.weight"].shape[-1] * 2**layers,
                labels=known.labels,
                groups=known.groups,
            ),
            networks={
                "G": {n.replace("main.", "layers."): value for n, value in G.items() if not n.endswith(STATISTICS)},
                "D": {f"{renamed[n.split('.')[0]]}.{n.split('.', 1)[1]}": value for n, value in D.items()},
            },
            options={
                "generator": {"name": "stargan", "width": len(G["main.0.weight"]), "blocks": blocks},
                "discriminator_width": len(D["main.0.weight"]),
                "discriminator_layers": layers,
            },
        )


def _is_generator(weights: Weights) -> bool:
    return all(f"main.{place}.weight" in weights for place in ("0", "1", "3", "6", "9.main.0"))


def _is_discriminator(weights: Weights) -> bool:
    return all(f"{place}.weight" in weights for place in ("main.0", "conv1", "conv2"))
