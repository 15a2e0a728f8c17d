"""Figures of made images: against the right answer, or against the real images of a domain."""

import warnings
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import Any, ClassVar, Literal
from urllib.error import URLError

import torch
from torch import Tensor
from torchmetrics.functional.image import peak_signal_noise_ratio, structural_similarity_index_measure
from torchmetrics.image.lpip import LearnedPerceptualImagePatchSimilarity

from ganzoo.errors import GanzooError


class Metric(ABC):
    """One figure, in `metrics.json` under its registered name. Built with (**own options).

    `against = "truth"`: called for each test image whose right answer is known, with what was made of it and the
    answer; the figure is the mean. `against = "real"`: called once for each direction with all that was made, two
    images or more, and the real test images of the target. Images are (channels, height, width) in [0, 1].
    """

    against: ClassVar[Literal["truth", "real"]] = "truth"
    """what it is called with"""

    @abstractmethod
    def __call__(self, made: Any, real: Any) -> float:
        """The figure of one image and its answer (`against = "truth"`), or of two sequences of images."""


class L1(Metric):
    """Mean absolute error; 0 is right, 1 is black for white."""

    def __call__(self, made: Tensor, real: Tensor) -> float:
        return (made - real).abs().mean().item()


class PSNR(Metric):
    """Peak signal-to-noise ratio in dB."""

    def __call__(self, made: Tensor, real: Tensor) -> float:
        return peak_signal_noise_ratio(made, real, data_range=1.0).item()


class SSIM(Metric):
    """Structural similarity (Wang et al. 2004); 1 is the same."""

    def __call__(self, made: Tensor, real: Tensor) -> float:
        return structural_similarity_index_measure(made[None], real[None], data_range=1.0).item()


class LPIPS(Metric):
    """Learned perceptual distance (Zhang et al. 2018, arXiv:1801.03924); 0 is the same.

    `net` is the network whose features are compared; its ImageNet weights are downloaded once.
    """

    def __init__(self, *, net: Literal["alex", "vgg", "squeeze"] = "alex") -> None:
        self.net = net

    def __call__(self, made: Tensor, real: Tensor) -> float:
        images = (_colour(image)[None].clamp(0, 1).to(self.network.device) for image in (made, real))
        return self.network(*images).item()

    @cached_property
    def network(self) -> LearnedPerceptualImagePatchSimilarity:
        with _downloading(f"the {self.net} network, which LPIPS needs"):
            return _placed(LearnedPerceptualImagePatchSimilarity(self.net, normalize=True))


class FID(Metric):
    """Frechet distance of Inception features (Heusel et al. 2017, arXiv:1706.08500); too large for few images."""

    against = "real"

    def __call__(self, made: Sequence[Tensor], real: Sequence[Tensor]) -> float:
        return _inception("FrechetInceptionDistance", made, real).item()


class KID(Metric):
    """Squared kernel distance of Inception features (Binkowski et al. 2018, arXiv:1801.01401); right for few images.

    The mean over `subsets` draws of `subset` images, or of all where there are fewer.
    """

    against = "real"

    def __init__(self, *, subsets: int = 100, subset: int = 1000) -> None:
        self.subsets, self.subset = subsets, subset

    def __call__(self, made: Sequence[Tensor], real: Sequence[Tensor]) -> float:
        size = min(self.subset, len(made), len(real))
        torch.manual_seed(0)
        mean, _ = _inception("KernelInceptionDistance", made, real, subsets=self.subsets, subset_size=size)
        return mean.item()


def _inception(kind: str, made: Sequence[Tensor], real: Sequence[Tensor], **options: Any) -> Any:
    """What a torchmetrics metric says of the images."""
    try:
        from torchmetrics.image import fid, kid  # both need another library

        with warnings.catch_warnings(action="ignore"):  # it tells how much memory it takes
            metric = getattr(fid, kind, None) or getattr(kid, kind)
            with _downloading("the Inception network, which FID and KID need"):
                metric = _placed(metric(normalize=True, **options))
    except ModuleNotFoundError:
        raise GanzooError('FID and KID need the Inception network: pip install "ganzoo[eval]"') from None
    for images, are_real in ((real, True), (made, False)):
        for image in images:
            metric.update(_colour(image)[None].to(metric.device), real=are_real)
    return metric.compute()


@contextmanager
def _downloading(network: str) -> Iterator[None]:
    try:
        yield
    except URLError as error:
        raise GanzooError(
            f"The weights of {network}, cannot be downloaded ({error.reason}). Try again with a network, or put them "
            f"into {torch.hub.get_dir()}/checkpoints."
        ) from None


def _placed(metric: Any) -> Any:
    """On the GPU if there is one."""
    return metric.to("cuda" if torch.cuda.is_available() else "cpu")


def _colour(image: Tensor) -> Tensor:
    """(3, height, width) of an image with any number of channels."""
    return (image[:3] if len(image) >= 3 else image[:1].expand(3, -1, -1)).float()
