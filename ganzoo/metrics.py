"""The metrics that come with ganzoo, on torchmetrics: against the ground truth, or against real images of a domain."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any, ClassVar, Literal
from urllib.error import URLError

import torch
import torchmetrics
from pydantic import Field
from torch import Tensor
from torchmetrics.image import PeakSignalNoiseRatio, StructuralSimilarityIndexMeasure
from torchmetrics.image.fid import FrechetInceptionDistance
from torchmetrics.image.kid import KernelInceptionDistance
from torchmetrics.image.lpip import LearnedPerceptualImagePatchSimilarity

from ganzoo.clock import seeded
from ganzoo.errors import GanzooError

Net = Literal["alex", "vgg", "squeeze"]


class Metric(torchmetrics.Metric):
    """One number in `metrics.json` under its registered name: a torchmetrics metric that says what it compares.

    `against = "ground truth"`: `update(fake, target)`. `against = "real"`: `update(images, real)`, where `real` tells
    the real test images of the domain from the fakes, in any order; there are two of each or more. Images are (batch,
    channels, height, width) in [0, 1], of 1 to 4 channels and any size. `compute()` gives a scalar tensor. Options are
    the keyword-only parameters of the constructor.

    A metric of torchmetrics becomes one of ganzoo with both as bases: `class SSIM(Metric, StructuralSimilarity...)`.
    Nothing is gathered from other processes, as the first one alone evaluates.
    """

    against: ClassVar[Literal["ground truth", "real"]] = "ground truth"
    """what `update` compares with"""
    higher_is_better: bool | None = None
    """as the fact `better` says that the metric is registered with"""

    def __init__(self, **options: Any) -> None:
        super().__init__(sync_on_compute=False, **options)


class L1(Metric):
    """Mean absolute error, the mean over images: 0 for equal images, 1 for black instead of white."""

    higher_is_better = False
    total: Tensor
    images: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.add_state("total", torch.tensor(0.0), dist_reduce_fx="sum")
        self.add_state("images", torch.tensor(0), dist_reduce_fx="sum")

    def update(self, fake: Tensor, target: Tensor) -> None:
        self.total += (fake - target).abs().mean(dim=(1, 2, 3)).sum()
        self.images += len(fake)

    def compute(self) -> Tensor:
        return self.total / self.images


class PSNR(Metric, PeakSignalNoiseRatio):
    """Peak signal-to-noise ratio in dB, the mean over images; infinite for equal images."""

    higher_is_better = True

    def __init__(self) -> None:
        super().__init__(data_range=1.0, dim=(1, 2, 3))


class SSIM(Metric, StructuralSimilarityIndexMeasure):
    """Structural similarity (Wang et al. 2004), the mean over images; 1 for equal images."""

    higher_is_better = True

    def __init__(self) -> None:
        super().__init__(data_range=1.0)


class LPIPS(Metric, LearnedPerceptualImagePatchSimilarity):
    """Learned perceptual distance (Zhang et al. 2018, arXiv:1801.03924), the mean over images; 0 for equal images.

    The ImageNet weights of the network are downloaded once.
    """

    higher_is_better = False

    def __init__(
        self, *, net: Annotated[Net, Field(description="network whose features are compared")] = "alex"
    ) -> None:
        with _pretrained(f"the {net} network, which LPIPS needs"):
            super().__init__(net_type=net, normalize=True)

    def update(self, fake: Tensor, target: Tensor) -> None:
        super().update(_rgb(fake), _rgb(target))


class _InceptionMetric(Metric):
    """Compares features of the Inception network."""

    against = "real"
    higher_is_better = False

    def __init__(self, **options: Any) -> None:
        try:
            with _pretrained("the Inception network, which FID and KID need"):
                super().__init__(normalize=True, **options)
        except ModuleNotFoundError:
            raise GanzooError('FID and KID need the Inception network: pip install "ganzoo[eval]"') from None

    def update(self, images: Tensor, real: bool) -> None:
        super().update(_rgb(images), real)  # type: ignore[safe-super]  # that of the other base


class FID(_InceptionMetric, FrechetInceptionDistance):
    """Frechet distance of Inception features (Heusel et al. 2017, arXiv:1706.08500); biased upwards for few images."""


class KID(_InceptionMetric, KernelInceptionDistance):
    """Squared kernel distance of Inception features (Binkowski et al. 2018, arXiv:1801.01401); unbiased for few images.

    The mean over random subsets, the same at every call.
    """

    def __init__(
        self,
        *,
        subsets: Annotated[int, Field(ge=1, description="subsets that are averaged over")] = 100,
        subset_size: Annotated[int, Field(ge=2, description="images in a subset, at most all that there are")] = 1000,
    ) -> None:
        super().__init__(subsets=subsets, subset_size=subset_size)
        self.largest_subset = subset_size

    def compute(self) -> Tensor:  # type: ignore[override]  # torchmetrics adds the deviation
        counts = (sum(len(part) for part in parts) for parts in (self.real_features, self.fake_features))
        self.subset_size = min(self.largest_subset, *counts)
        with seeded(0, torch.device("cpu")):
            return super().compute()[0]


@contextmanager
def _pretrained(network: str) -> Iterator[None]:
    """Inside, a network is built: its first weights, which others replace, are not from the caller's random stream."""
    try:
        with torch.random.fork_rng(devices=[]), warnings.catch_warnings(action="ignore"):  # KID's, of its memory
            yield
    except URLError as error:
        raise GanzooError(
            f"The weights of {network}, cannot be downloaded ({error.reason}). Try again with a network, or put them "
            f"into {torch.hub.get_dir()}/checkpoints."
        ) from None


def _rgb(images: Tensor) -> Tensor:
    """(batch, 3, height, width) of images with any number of channels: grey is repeated, alpha left out."""
    return images[:, :3] if images.shape[1] >= 3 else images[:, :1].expand(-1, 3, -1, -1)
