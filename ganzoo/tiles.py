"""Images of any size in the memory that there is: tiles that agree, and the detail of the original.

Instance norm takes its statistics from the image that it sees, so that tiles by themselves would differ in colour and
contrast. Here statistics are taken once, from the whole image reduced to the size of a tile, and all tiles use them.
"""

import math
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import psutil
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.instancenorm import _InstanceNorm

Translate = Callable[[Tensor], Tensor]
"""(batch, channels, height, width) in [-1, 1] to the same in the target domain, without gradients"""
MOST_MEMORY = 0.8e9  # bytes for activations, however much is free: larger tiles are not faster
LARGEST, SMALLEST, OVERLAP = 1024, 128, 64  # of tiles, in pixels; large ones share an eighth with each neighbour
BUFFERS = 24  # bytes for each pixel of the image itself, on its way in and out
COPIES = 2.0  # times its input and output that the largest layer needs: skips, and what convolutions copy
FINEST, WINDOW, FLAT, STRONGEST = 3, 9, 2e-5, 1.5  # in `restore_detail`: pixels, pixels, variance, slope


class Window(NamedTuple):
    """A part of an image, in pixels."""

    top: int
    left: int
    height: int
    width: int

    def of(self, image: Tensor) -> Tensor:
        """That part of (..., height, width)."""
        return image[..., self.top : self.top + self.height, self.left : self.left + self.width]


def tiled(translate: Translate, networks: nn.Module, image: Tensor, tile: int, multiple: int) -> Tensor:
    """An image (1, channels, height, width), in bytes or in [-1, 1], translated `in_tiles` that share their statistics.

    One that is no larger than a tile is translated as a whole.
    """
    if tile >= max(image.shape[-2:]):
        return translate(as_unit(image)).float().cpu()
    with shared_statistics(networks) as use_recorded:
        if use_recorded:
            translate(overview(image, tile))
            use_recorded()
        return in_tiles(translate, image, tile, multiple, min(tile // 2, max(OVERLAP, tile // 8)))


def in_tiles(translate: Translate, image: Tensor, tile: int, multiple: int, overlap: int) -> Tensor:
    """An image (1, channels, height, width), in bytes or in [-1, 1], translated in squares of about `tile` pixels.

    Neighbours share `overlap` pixels or more, over which one fades into the other. Tiles begin at multiples of
    `multiple`, as strided convolutions want it.
    """
    height, width = image.shape[-2:]
    tile = max(2 * multiple, tile // multiple * multiple)
    overlap = min(tile - multiple, round_up(overlap, multiple))
    rows, columns = (_stripes(side, tile, overlap, multiple) for side in (height, width))
    result = torch.empty(0)
    for top, down in rows:
        for left, across in columns:
            window = Window(top, left, len(down), len(across))
            part = translate(as_unit(window.of(image)))[0].float().cpu()
            result = result if result.numel() else torch.zeros(part.shape[0], height, width)
            window.of(result).add_(part.mul_(down[:, None]).mul_(across))
    return result[None]


def _stripes(side: int, tile: int, overlap: int, multiple: int) -> list[tuple[int, Tensor]]:
    """Where tiles begin along a side, evenly spread, and the weights of their pixels, which add up to 1 everywhere."""
    last = round_up(max(0, side - tile), multiple)
    count = math.ceil(last / (tile - overlap)) + 1
    starts = [round(last * i / max(1, count - 1) / multiple) * multiple for i in range(count)]
    fade = torch.sin((torch.arange(overlap) + 0.5) / max(1, overlap) * math.pi / 2) ** 2
    total, weights = torch.zeros(side), []
    for start in starts:
        weight = torch.ones(min(tile, side - start))
        if start > 0:
            weight[:overlap] *= fade[: len(weight)]
        if start < last:
            weight[len(weight) - overlap :] *= fade.flip(0)
        total[start : start + len(weight)] += weight
        weights.append(weight)
    return [(s, weight / total[s : s + len(weight)]) for s, weight in zip(starts, weights, strict=True)]


def overview(image: Tensor, tile: int) -> Tensor:
    """The whole image in [-1, 1], reduced to as many pixels as a tile has if it has more."""
    height, width = image.shape[-2:]
    scale = tile / math.sqrt(height * width)
    if scale >= 1:
        return as_unit(image)
    sides = [max(1, round(side * scale)) for side in (height, width)]
    return as_unit(F.interpolate(image, sides, mode="bicubic", antialias=True))


@contextmanager
def shared_statistics(networks: nn.Module) -> Iterator[Callable[[], None] | None]:
    """Inside, norms that normalise by what they see keep its mean and variance.

    Gives a function from whose call on they use what they kept; None if there are no such norms.
    """
    recorded: dict[nn.Module, list[tuple[Tensor, Tensor]]] = {}
    calls: dict[nn.Module, int] = {}
    using = False

    def forward(norm: Any, x: Tensor) -> Tensor:
        if not using:
            places = (0, *range(2, x.ndim))
            recorded[norm].append((x.mean(places), x.var(places, unbiased=False)))
        mean, variance = recorded[norm][calls[norm] % len(recorded[norm])] if using else recorded[norm][-1]
        calls[norm] += using
        return F.batch_norm(x, mean, variance, norm.weight, norm.bias, False, 0.0, norm.eps)

    def use() -> None:
        nonlocal using
        using = True

    for norm in networks.modules():
        if isinstance(norm, _InstanceNorm | _BatchNorm) and (norm.training or not norm.track_running_stats):
            recorded[norm], calls[norm] = [], 0
            norm.forward = partial(forward, norm)  # type: ignore[method-assign]
    try:
        yield use if recorded else None
    finally:
        for norm in recorded:
            del norm.forward


def restore_detail(fake: Tensor, small: Tensor, original: Tensor) -> Tensor:
    """The translation `fake` (1, channels, h, w) of `small`, in the size of the `original` that was reduced to it.

    What the reduction lost, original minus enlarged `small`, is added with the contrast that the translation gives to
    the finest detail of `small` there: the slope of a regression of its detail on that of the brightness of `small`,
    around each pixel. It is 0 where the translation does not follow the original. (The regression is that of the guided
    filter, He et al. 2013, doi:10.1109/TPAMI.2012.213, on detail instead of values.)
    """

    def mean(x: Tensor, side: int) -> Tensor:
        return F.avg_pool2d(x, side, 1, side // 2, count_include_pad=False)

    guide, size = small.mean(1, keepdim=True), original.shape[-2:]
    detail, of_fake = (x - mean(x, FINEST) for x in (guide, fake))
    slope = mean(detail * of_fake, WINDOW) / (mean(detail.square(), WINDOW) + FLAT)
    slope = slope.clamp_(-STRONGEST, STRONGEST)
    lost = as_unit(original).mean(1, keepdim=True).sub_(enlarged(guide, size))
    channels = [
        enlarged(fake[:, c : c + 1], size).addcmul_(enlarged(slope[:, c : c + 1], size, "bilinear"), lost)
        for c in range(fake.shape[1])
    ]
    return torch.cat(channels, dim=1)


def enlarged(image: Tensor, size: Any, mode: str = "bicubic") -> Tensor:
    """(batch, channels, height, width) in another size, (height, width)."""
    return F.interpolate(image, size, mode=mode)


def as_unit(image: Tensor) -> Tensor:
    """Bytes in [-1, 1]; floating-point numbers as they are."""
    return image / 127.5 - 1 if image.dtype == torch.uint8 else image


def round_up(number: int, multiple: int) -> int:
    """The next multiple."""
    return -(-number // multiple) * multiple


def bytes_per_pixel(translate: Translate, networks: nn.Module, probe: Tensor) -> float:
    """About how much memory `translate` needs for each pixel of an image, from what the layers make of a small one."""
    most = 2 * probe.nbytes  # what it takes and gives

    def look(module: nn.Module, taken: Any, given: Any) -> None:
        nonlocal most
        most = max(most, sum(t.nbytes for t in (*taken, given) if isinstance(t, Tensor)))

    with ExitStack() as stack:
        for module in networks.modules():
            if not any(True for _ in module.children()):
                stack.callback(module.register_forward_hook(look).remove)
        translate(probe)
    return COPIES * most / (probe.shape[-1] * probe.shape[-2])


def free_memory(device: torch.device) -> float:
    """Bytes that this process may still take on the device."""
    if device.type == "cuda":
        unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return torch.cuda.mem_get_info(device)[0] + unused
    known = [float(psutil.virtual_memory().available)]
    with suppress(OSError, ValueError):  # of a container
        limit, used = (int(Path(f"/sys/fs/cgroup/memory.{name}").read_text()) for name in ("max", "current"))
        cached = [line.split() for line in Path("/sys/fs/cgroup/memory.stat").read_text().splitlines()]
        known.append(limit - used + sum(int(size) for name, size in cached if name == "inactive_file"))
    if sys.platform == "linux":
        import resource

        limit = resource.getrlimit(resource.RLIMIT_AS)[0]
        if limit != resource.RLIM_INFINITY:
            known.append(limit - int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize())
    return min(known)
