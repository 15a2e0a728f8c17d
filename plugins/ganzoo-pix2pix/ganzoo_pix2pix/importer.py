"""U-Nets that were trained with the authors' PyTorch code, for use here."""

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from ganzoo import DataSpec, GanzooError, Imported, Importer, TrainedOn

Weights = dict[str, Tensor]
STATISTICS = ("running_mean", "running_var", "num_batches_tracked")
OUTERMOST = {"0": "down.{down}.0", "3": "up.{up}.1"}  # place in the authors' block -> in ganzoo's "unet"
BETWEEN = {"1": "down.{down}.1", "2": "down.{down}.2", "5": "up.{up}.1", "6": "up.{up}.2"}
INNERMOST = {"1": "down.{down}.1", "3": "up.{up}.1", "4": "up.{up}.2"}


class Pix2PixImporter(Importer):
    """A U-Net of any depth (`latest_net_G.pth`). Its file says nothing of dropout, so it has the paper's."""

    def knows(self, weights: Weights) -> bool:
        """Whether they are of a U-Net: blocks inside blocks."""
        return all(f"model.model.{place}.weight" in weights for place in ("0", "1.model.1", "3"))

    def convert(self, files: Mapping[Path, Weights], known: TrainedOn) -> Imported:
        """From the first domain to the second."""
        if len(files) > 1:
            raise GanzooError(f"A pix2pix has one generator, and there are {len(files)} files: give one.")
        (weights,), domains = files.values(), known.names(2)
        first, last = weights["model.model.0.weight"], weights["model.model.3.weight"]
        norm = "batch" if "model.model.1.model.2.weight" in weights else "instance"
        renamed, depth = _renamed({k: v for k, v in weights.items() if norm == "batch" or not k.endswith(STATISTICS)})
        options = {"name": "unet", "width": len(first), "depth": depth, "norm": norm, "dropout": 0.5}
        channels = dict(zip(domains, (first.shape[1], last.shape[1]), strict=True))
        spec = DataSpec(domains, channels, known.size or 2**depth)
        return Imported(spec=spec, networks={"G": renamed}, options={"generator": options})


def _renamed(weights: Weights) -> tuple[Weights, int]:
    """The weights under the names of "unet", and how often it halves the image."""
    blocks = ["model.model."]  # where the names in each begin, the outermost first
    while any(name.startswith(inner := f"{blocks[-1]}{3 if blocks[1:] else 1}.model.") for name in weights):
        blocks.append(inner)
    innermost, renamed = len(blocks) - 1, {}
    for name, value in weights.items():
        level = max(level for level, block in enumerate(blocks) if name.startswith(block))
        place, _, rest = name.removeprefix(blocks[level]).partition(".")
        places = {0: OUTERMOST, innermost: INNERMOST}.get(level, BETWEEN)
        renamed[f"{places[place].format(down=level, up=innermost - level)}.{rest}"] = value
    return renamed, len(blocks)
