"""Encoders and decoders that were trained with the authors' PyTorch code, for use here."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from ganzoo import DataSpec, GanzooError, Imported, Importer, TrainedOn

Weights = dict[str, Tensor]
STATISTICS = ("running_mean", "running_var", "num_batches_tracked")


class ComboGANImporter(Importer):
    """An encoder and a decoder of each domain: `200_net_G0.pth` and so on in the order of their numbers, files of other
    names as they are given."""

    def knows(self, weights: Weights) -> bool:
        """Whether they are of an encoder or a decoder, of any number of blocks."""
        return _is_encoder(weights) or _is_decoder(weights)

    def convert(self, files: Mapping[Path, Weights], known: TrainedOn) -> Imported:
        """Between all domains."""
        numbers = {file: re.search(r"net_G(\d+)", file.name) for file in files}
        ordered = list(files)
        if all(numbers.values()):
            ordered.sort(key=lambda file: int((numbers[file] or [0, 0])[1]))
        encoders = [files[file] for file in ordered if _is_encoder(files[file])]
        decoders = [files[file] for file in ordered if _is_decoder(files[file])]
        if len(encoders) != len(decoders) or len(encoders) < 2:
            raise GanzooError(
                f"There are {len(encoders)} encoders and {len(decoders)} decoders: give one of each for every domain, "
                "such as 200_net_G*.pth."
            )
        domains, options = (
            known.names(len(encoders)),
            [_options(*pair) for pair in zip(encoders, decoders, strict=True)],
        )
        if any(other != options[0] for other in options):
            raise GanzooError(
                f"{', '.join(map(str, files))} are not of one ComboGAN: their widths or numbers of blocks differ."
            )
        channels = {
            domain: weights["model.1.weight"].shape[1] for domain, weights in zip(domains, encoders, strict=True)
        }
        networks = {f"encoder.{domain}": _renamed(weights) for domain, weights in zip(domains, encoders, strict=True)}
        networks |= {f"decoder.{domain}": _renamed(weights) for domain, weights in zip(domains, decoders, strict=True)}
        return Imported(spec=DataSpec(domains, channels, known.size or 256), networks=networks, options=options[0])


def _is_encoder(weights: Weights) -> bool:
    convolutions = {name for name, value in weights.items() if value.ndim == 4 and "conv_block" not in name}
    return convolutions == {f"model.{i}.weight" for i in (1, 4, 7)} and "model.3.weight" in weights


def _is_decoder(weights: Weights) -> bool:
    convolutions = {name for name, value in weights.items() if value.ndim == 4 and "conv_block" not in name}
    b = _blocks(weights)
    return convolutions == {f"model.{i}.weight" for i in (b, b + 3, b + 7)} and f"model.{b + 2}.weight" in weights


def _options(encoder: Weights, decoder: Weights) -> dict[str, Any]:
    blocks = {"encoder_blocks": _blocks(encoder), "decoder_blocks": _blocks(decoder)}
    return blocks | {"width": len(encoder["model.1.weight"]), "norm": "instance"}


def _renamed(weights: Weights) -> Weights:
    """Under ganzoo's names; running statistics of instance norms, which old files have, were never used."""
    return {
        name.replace("model.", "layers.", 1).replace("conv_block.", "layers."): value
        for name, value in weights.items()
        if not name.endswith(STATISTICS)
    }


def _blocks(weights: Weights) -> int:
    return len({match[1] for name in weights if (match := re.match(r"model\.(\d+)\.conv_block\.", name))})
