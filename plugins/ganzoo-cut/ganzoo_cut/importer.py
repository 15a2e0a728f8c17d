"""Generators that were trained with the authors' PyTorch code, for use here."""

import re
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from ganzoo import DataSpec, GanzooError, Imported, Importer, TrainedOn

Weights = dict[str, Tensor]
STATISTICS = ("running_mean", "running_var", "num_batches_tracked")
DOWN, UP = (1.0, 2.0, 1.0), (1.0, 3.0, 3.0, 1.0)  # the filters of the authors' defaults, before they are normalised


class CUTImporter(Importer):
    """The antialiased residual generator of CUT and FastCUT (`latest_net_G.pth`), whose files hold its filters, too."""

    def knows(self, weights: Weights) -> bool:
        """Whether they are of an antialiased residual generator, of any number of blocks, with or without dropout."""
        convolutions = {name for name, value in weights.items() if value.ndim == 4 and not name.endswith(".filt")}
        b = _blocks(weights)
        inside = {f"model.{12 + i}.conv_block.{j}.weight" for i in range(b) for j in (1, _second(weights))}
        return convolutions == inside | {f"model.{i}.weight" for i in (1, 4, 8, 13 + b, 17 + b, 21 + b)}

    def convert(self, files: Mapping[Path, Weights], known: TrainedOn) -> Imported:
        """From the first domain to the second."""
        if len(files) > 1:
            raise GanzooError(f"CUT has one generator, and there are {len(files)} files: give one.")
        ((file, weights),), domains = files.items(), known.names(2)
        blocks, second = _blocks(weights), _second(weights)
        for place, values in {7: DOWN, 11: DOWN, 12 + blocks: UP, 16 + blocks: UP}.items():
            _check_filter(weights.get(f"model.{place}.filt"), values, f"model.{place}.filt in {file}")
        norm = "batch" if "model.2.weight" in weights else "instance"
        renamed = {}
        for name, value in weights.items():
            if name.endswith(".filt") or (norm == "instance" and name.endswith(STATISTICS)):
                continue
            if second == 6:  # dropout between its convolutions moves the second one on by one place
                name = re.sub(r"conv_block\.([67])\b", lambda match: f"conv_block.{int(match[1]) - 1}", name)
            renamed[name.replace("model.", "layers.", 1).replace("conv_block.", "layers.")] = value
        first = weights["model.1.weight"]
        options = {"name": "resnet-antialiased", "width": len(first), "blocks": blocks, "norm": norm}
        spec = DataSpec(domains, dict.fromkeys(domains, first.shape[1]), known.size or 256)
        return Imported(spec=spec, networks={"G": renamed}, options={"generator": options})


def _check_filter(found: Tensor | None, values: tuple[float, ...], what: str) -> None:
    """Raises GanzooError where it is another filter than the one that "resnet-antialiased" has."""
    row = torch.tensor(values)
    expected = torch.outer(row, row) / (64 if len(values) == 3 else 16) * (4 if len(values) == 3 else 1)
    if found is None or found.shape[-2:] != expected.shape or not torch.allclose(found.float(), expected, atol=1e-5):
        raise GanzooError(f"{what} is not the filter {list(map(int, values))} of the authors' defaults.")


def _blocks(weights: Weights) -> int:
    return len({match[1] for name in weights if (match := re.match(r"model\.(\d+)\.conv_block\.", name))})


def _second(weights: Weights) -> int:
    """Where a block has its second convolution."""
    there = weights.get("model.12.conv_block.6.weight")
    return 6 if there is not None and there.ndim == 4 else 5
