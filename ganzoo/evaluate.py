"""How right a translation is: error to the truth where the data has one, else the error of the way back."""

from collections.abc import Callable

import torch
from torch import Tensor
from torchmetrics.functional.image import peak_signal_noise_ratio, structural_similarity_index_measure

from ganzoo.data.batches import held_out
from ganzoo.data.sources import Source
from ganzoo.options import DataOptions
from ganzoo.trainer import Trainer

Figures = dict[str, dict[str, float]]


def evaluate(
    trainer: Trainer, source: Source, data: DataOptions, progress: Callable[[int, int], None] | None = None
) -> Figures:
    """Means over the test pictures, for each direction "source->target". Pictures are taken as 0 to 1.

    With truth: `l1`, `psnr` (dB) and `ssim` of the translation to the truth, and the same with `_identity` for the
    untouched source picture: doing nothing. Always: `cycle_l1`, the error of translating there and back.
    """
    tests = held_out(source, data, trainer.spec, trainer.multiple)
    device, dtype = next((p.device, p.dtype) for p in trainer.parameters())
    directions = trainer.directions()
    total = sum(len(tests[here]) for here, _ in directions)
    done, figures = 0, {}
    for here, there in directions:
        rows = []
        for index, picture in enumerate(tests[here]):
            torch.manual_seed(index)  # a model that draws at test time draws the same every time
            real = picture[None].to(device, dtype)
            with trainer.inference():
                made = trainer.translate(real, here, there)
                row = {"cycle_l1": _l1(trainer.translate(made, there, here), real)}
            if source.truth:
                truth = tests[there][index][None].to(device, dtype)
                row |= compare(made, truth)
                if real.shape == truth.shape:
                    row |= {f"{name}_identity": value for name, value in compare(real, truth).items()}
            rows.append(row)
            done += 1
            if progress:
                progress(done, total)
        figures[f"{here}->{there}"] = {name: sum(row[name] for row in rows) / len(rows) for name in rows[0]}
    return figures


def compare(made: Tensor, truth: Tensor) -> dict[str, float]:
    """L1, PSNR in dB and SSIM of two pictures in [-1, 1], taken as 0 to 1."""
    a, b = (made.float() + 1) / 2, (truth.float() + 1) / 2
    return {
        "l1": _l1(made, truth),
        "psnr": peak_signal_noise_ratio(a, b, data_range=1.0).item(),
        "ssim": structural_similarity_index_measure(a, b, data_range=1.0).item(),
    }


def _l1(a: Tensor, b: Tensor) -> float:
    return (a - b).abs().mean().item() / 2
