"""`ganzoo import-cyclegan`: generators trained with the authors' PyTorch code, for use here."""

import hashlib
import re
from pathlib import Path

import click
import safetensors.torch
import torch
from torch import Tensor

from ganzoo import DataSpec, GanzooError, checkpoint, recipe
from ganzoo.cli.output import say
from ganzoo.data.sources import check_names
from ganzoo.files import refuse_existing, write_bytes
from ganzoo.weights import plain_weights

PREFIXES = ("module.", "_orig_mod.")  # of several GPUs, of torch.compile
STATISTICS = ("running_mean", "running_var", "num_batches_tracked")
DISCRIMINATOR = {"name": "patch", "width": 1, "layers": 0}  # there is none in the files; this one is as small as can be


@click.command()
@click.argument("forth", metavar="A_TO_B.pth", type=click.Path(path_type=Path))
@click.argument("back", metavar="B_TO_A.pth", type=click.Path(path_type=Path))
@click.argument("output", metavar="OUTPUT.safetensors", type=click.Path(path_type=Path))
@click.option("--domains", nargs=2, default=("A", "B"), show_default=True, metavar="A B", help="Names of the domains.")
@click.option("--size", default=256, show_default=True, help="Side of the images that they were trained on, pixels.")
def import_cyclegan(forth: Path, back: Path, output: Path, domains: tuple[str, str], size: int) -> None:
    """Make a ganzoo file of two generators of the authors' PyTorch code (latest_net_G_A.pth, latest_net_G_B.pth).

    `ganzoo translate`, `evaluate` and `export` take the file. It cannot be trained on: discriminators are not in it.
    """
    refuse_existing(output)
    check_names(domains)
    if domains[0] == domains[1]:
        raise GanzooError(f'Both domains are called "{domains[0]}": give them two names with --domains.')
    (ahead, options), (home, others) = read(forth), read(back)
    if options != others:
        raise GanzooError(f"{forth} is a generator of {options}, {back} of {others}: they are not of one CycleGAN.")
    channels = {d: found["layers.1.weight"].shape[1] for d, found in zip(domains, (ahead, home), strict=True)}
    tables = {
        "model": "cyclegan",
        "data": {"source": "folders", "domains": list(domains), "size": size, "channels": channels},
        "options": {"generator": options, "discriminator": DISCRIMINATOR, "identity": 0.0},
        "train": {"images": 1},
    }
    made_from, spec = recipe.parse(tables), DataSpec(domains, channels, size)
    trainer = made_from.trainer(made_from.options, spec)
    weights = {name: value for name, value in trainer.state_dict().items() if name.startswith("D.")}
    for domain, found in zip(domains[::-1], (ahead, home), strict=True):
        weights |= {f"G.{domain}.{name}": value for name, value in found.items()}
    checkpoint.restore(trainer, weights, forth)
    facts = checkpoint.about(made_from, spec, 0) | {"imported": f"{_known(forth)}, {_known(back)}"}
    weights = {name: value.contiguous() for name, value in trainer.state_dict().items()}
    write_bytes(output, safetensors.torch.save(weights, facts))
    say(f"{output}: {domains[0]} to {domains[1]} and back, {options['blocks']} blocks, {options['width']} wide.")
    say(f"Use it: ganzoo translate {output} PICTURES OUTPUT --to {domains[1]}")


def read(file: Path) -> tuple[dict[str, Tensor], dict[str, object]]:
    """A generator's weights under the names of ganzoo's "resnet", and that part's options. No code is loaded."""
    weights = {_plain(name): value for name, value in plain_weights(file).items()}
    nothing = torch.empty(0)
    first = weights.get("model.1.weight", nothing)
    blocks = {int(match[1]) for name in weights if (match := re.match(r"model\.(\d{1,4})\.conv_block", name))}
    inside = [weights.get(f"model.{block}.conv_block.1.weight", nothing).shape for block in blocks]
    sound = first.ndim == 4 and 0 < first.shape[1] <= 4  # and the rest as large as the network that is then built
    if not sound or set(inside) != {(4 * len(first), 4 * len(first), 3, 3)}:
        raise GanzooError(
            f"{file} is no residual generator of the authors' code: it begins with {next(iter(weights), 'nothing')}. "
            "Give the generators, such as latest_net_G_A.pth."
        )
    norm = "batch" if "model.2.weight" in weights else "instance"
    renamed = {}
    for name, value in weights.items():
        if norm == "instance" and name.endswith(STATISTICS):
            continue  # files of 2017 have them; they were never used
        if _dropout(weights):
            name = re.sub(r"conv_block\.([67])\b", lambda match: f"conv_block.{int(match[1]) - 1}", name)
        renamed[name.replace("model.", "layers.", 1).replace("conv_block.", "layers.")] = value.float()
    return renamed, {"name": "resnet", "width": len(first), "blocks": len(blocks), "norm": norm}


def _plain(name: str) -> str:
    while name.startswith(PREFIXES):
        name = name.split(".", 1)[1]
    return name


def _dropout(weights: dict[str, Tensor]) -> bool:
    """Whether a block has dropout between its convolutions, which moves the second one on by one place."""
    return weights.get("model.10.conv_block.6.weight", torch.empty(0)).ndim == 4


def _known(file: Path) -> str:
    with file.open("rb") as content:
        return f"{file.name} (sha256 {hashlib.file_digest(content, 'sha256').hexdigest()})"
