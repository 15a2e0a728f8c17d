"""Generators that were trained with the authors' PyTorch code, for use here."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from ganzoo import DataSpec, GanzooError, Imported, Importer, TrainedOn

Weights = dict[str, Tensor]
STATISTICS = ("running_mean", "running_var", "num_batches_tracked")


class CycleGANImporter(Importer):
    """One residual generator, `latest_net_G.pth`, or two, `latest_net_G_A.pth` and `latest_net_G_B.pth`."""

    def knows(self, weights: Weights) -> bool:
        """Whether they are of a residual generator, of any number of blocks, with or without dropout."""
        convolutions = {name for name, value in weights.items() if value.ndim == 4}
        b = _blocks(weights)
        inside = {f"model.{10 + i}.conv_block.{j}.weight" for i in range(b) for j in (1, _second(weights))}
        return convolutions == inside | {f"model.{i}.weight" for i in (1, 4, 7, 10 + b, 13 + b, 17 + b)}

    def convert(self, files: Mapping[Path, Weights], known: TrainedOn) -> Imported:
        """From the first domain to the second, and of two files from the second to the first."""
        if len(files) > 2:
            raise GanzooError(f"A CycleGAN has two generators, and there are {len(files)} files: give one or two.")
        domains = known.names(2)
        ways = [domains, domains[::-1]][: len(files)]
        read = {way: _read(weights) for way, weights in zip(ways, files.values(), strict=True)}
        (options, (source, target)), *others = [(options, channels) for _, options, channels in read.values()]
        if others and others[0] != (options, (target, source)):
            raise GanzooError(
                f"{' and '.join(map(str, files))} are not of one CycleGAN: {options}, {source} to {target} channels, "
                f"and {others[0][0]}, {' to '.join(map(str, others[0][1]))} channels."
            )
        channels = dict(zip(domains, (source, target), strict=True))
        return Imported(
            spec=DataSpec(domains, channels, known.size or 256),
            networks={f"G.{there}": weights for (_, there), (weights, _, _) in read.items()},
            options={"generator": options} | ({} if source == target else {"identity": 0.0}),
            directions=[(domains[0], domains[1])] if len(files) == 1 else None,
        )


def _read(weights: Weights) -> tuple[Weights, dict[str, Any], tuple[int, int]]:
    """The weights under the names of "resnet", that part's options, and the channels of source and target."""
    blocks, second = _blocks(weights), _second(weights)
    norm = "batch" if "model.2.weight" in weights else "instance"
    renamed = {}
    for name, value in weights.items():
        if norm == "instance" and name.endswith(STATISTICS):
            continue  # files of 2017 have them; they were never used
        if second == 6:  # dropout between its convolutions moves the second one on by one place
            name = re.sub(r"conv_block\.([67])\b", lambda match: f"conv_block.{int(match[1]) - 1}", name)
        renamed[name.replace("model.", "layers.", 1).replace("conv_block.", "layers.")] = value
    first, last = weights["model.1.weight"], weights[f"model.{17 + blocks}.weight"]
    options = {"name": "resnet", "width": len(first), "blocks": blocks, "norm": norm}
    return renamed, options, (first.shape[1], len(last))


def _blocks(weights: Weights) -> int:
    return len({match[1] for name in weights if (match := re.match(r"model\.(\d+)\.conv_block\.", name))})


def _second(weights: Weights) -> int:
    """Where a block has its second convolution."""
    there = weights.get("model.10.conv_block.6.weight")
    return 6 if there is not None and there.ndim == 4 else 5
