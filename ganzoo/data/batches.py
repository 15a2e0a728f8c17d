"""Batches as a function of the clock: image number i of a run is always the same image, cropped the same way."""

import signal
import sys
from collections.abc import Iterator, Sequence
from functools import cached_property, lru_cache
from itertools import islice
from typing import Any
from zlib import crc32

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from ganzoo.clock import Clock
from ganzoo.data.images import ImageRef, convert, to_tensor
from ganzoo.data.sources import Source
from ganzoo.errors import GanzooError
from ganzoo.options import DataOptions
from ganzoo.trainer import Batch, DataSpec


class TrainingSamples(Dataset):
    """Item i is the i-th draw of a run, as tensors in [-1, 1]; what it holds is said in trainer.KINDS."""

    def __init__(self, source: Source, data: DataOptions, spec: DataSpec, kind: str, seed: int, multiple: int) -> None:
        self.data, self.spec, self.kind, self.seed, self.multiple = data, spec, kind, seed, multiple
        self.images = {domain: source.images("train", domain) for domain in spec.domains}

    def __getitem__(self, i: int) -> dict[str, Tensor] | GanzooError:
        try:
            if self.kind == "still":
                return self._still
            if self.kind == "paired":
                return self._draw(self.spec.domains, "", i)
            domains = self._two(i // self.data.batch) if self.kind == "domains" else self.spec.domains
            return {k: v for domain in domains for k, v in self._draw((domain,), domain, i).items()}
        except GanzooError as error:
            return error  # raised by batches(): an exception would come out of a worker with its traceback in the text

    @cached_property
    def _still(self) -> dict[str, Tensor]:
        """The first image of each domain, without anything random."""
        firsts = {
            domain: convert(images[0].open(), self.spec.channels[domain]) for domain, images in self.images.items()
        }
        return {d: to_tensor(test_transform(image, self.data, self.multiple)) for d, image in firsts.items()}

    def _two(self, step: int) -> list[str]:
        """The two domains of a step."""
        places = np.random.default_rng([self.seed, step]).permutation(len(self.spec.domains))[:2]
        return [self.spec.domains[place] for place in places]

    def _draw(self, domains: Sequence[str], stream_name: str, i: int) -> dict[str, Tensor]:
        """One image of each domain, from the same place in their lists and seen through the same crop."""
        stream, count = crc32(stream_name.encode()), len(self.images[domains[0]])
        epoch, place = divmod(i, count)
        for attempt in range(count):
            index = _order(self.seed, stream, epoch, count)[(place + attempt) % count]
            refs = {domain: self.images[domain][index] for domain in domains}
            try:
                images = {d: convert(p.open(), self.spec.channels[d]) for d, p in refs.items()}
            except GanzooError as error:
                if self.data.broken == "stop":
                    raise
                _tell_once(str(error))
                continue
            draw = {}
            for domain, image in images.items():
                rng = np.random.default_rng([self.seed, stream, i])
                draw[domain] = to_tensor(train_transform(image, self.data, self.multiple, rng))
                if self.kind == "labelled":
                    draw["label"] = torch.tensor(refs[domain].labels, dtype=torch.float32)
            return draw
        raise GanzooError(f"None of the {count} images of {' and '.join(domains)} can be read. Replace them.")


def batches(draws: TrainingSamples, clock: Clock, stop: int, pin: bool = False) -> Iterator[Batch]:
    """This process's part of every batch from the clock's time until `stop` images."""
    workers = draws.data.workers
    if workers is None:
        workers = min(8, torch.get_num_threads()) if pin else 0
    share = clock.batch // clock.world
    starts = range(clock.images + clock.rank * share, stop, clock.batch)
    loader = DataLoader(
        draws,
        batch_sampler=_Shares(starts, share),
        num_workers=workers,
        collate_fn=_collate,
        pin_memory=pin,
        worker_init_fn=_ignore_signals,
    )
    for batch in loader:
        if isinstance(batch, GanzooError):
            raise batch
        yield batch


def _ignore_signals(worker: int) -> None:
    """Ctrl-C reaches the workers too, but it is the training that finishes its step and then ends them."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)


class _Shares:
    """The draws of each step, made when asked for."""

    def __init__(self, starts: range, share: int) -> None:
        self.starts, self.share = starts, share

    def __iter__(self) -> Iterator[range]:
        return (range(start, start + self.share) for start in self.starts)

    def __len__(self) -> int:
        return len(self.starts)


def _collate(items: list[Any]) -> Batch | GanzooError:
    for item in items:
        if isinstance(item, GanzooError):
            return item
    try:
        return {key: torch.stack([item[key] for item in items]) for key in items[0]}
    except RuntimeError:
        sizes = sorted({f"{t.shape[-1]}x{t.shape[-2]}" for item in items for t in item.values()})
        return GanzooError(
            f"A batch holds images of several sizes ({', '.join(sizes)}). Set data.batch = 1, or a data.preprocess "
            'that makes squares: "resize-and-crop", "square" or "crop".'
        )


@lru_cache(maxsize=64)
def _order(seed: int, stream: int, epoch: int, count: int) -> np.ndarray:
    return np.random.default_rng([seed, stream, epoch, count]).permutation(count)


@lru_cache(maxsize=1000)
def _tell_once(message: str) -> None:
    print(f"skipped: {message}", file=sys.stderr)


def train_transform(image: Image.Image, data: DataOptions, multiple: int, rng: np.random.Generator) -> Image.Image:
    """A training image as the networks see it: resized, cropped and mirrored at random."""
    left, top, mirror = rng.random(3)
    if data.preprocess in ("resize-and-crop", "square"):
        image = _resize(_middle(image, data), data.load_size, data.load_size)
    image = _framed(image, data, multiple, left, top)
    return image.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if data.flip and mirror < 0.5 else image


def test_transform(image: Image.Image, data: DataOptions, multiple: int) -> Image.Image:
    """A test image, without anything random."""
    if data.preprocess in ("resize-and-crop", "square"):
        return _resize(_middle(image, data), data.size, data.size)
    return _framed(image, data, multiple, 0.5, 0.5)


def _middle(image: Image.Image, data: DataOptions) -> Image.Image:
    """The largest square in the middle, if that is wanted."""
    if data.preprocess != "square":
        return image
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    return image.crop((left, top, left + side, top + side))


def _framed(image: Image.Image, data: DataOptions, multiple: int, left: float, top: float) -> Image.Image:
    width, height = image.size
    if data.preprocess == "none":
        return _resize(image, _near(width, multiple), _near(height, multiple))
    if data.preprocess == "scale-width":
        return _resize(image, data.size, _near(round(height * data.size / width), multiple))
    if min(width, height) < data.size:  # a crop that is larger than the image: enlarge it just enough
        scale = data.size / min(width, height)
        image = _resize(image, max(data.size, round(width * scale)), max(data.size, round(height * scale)))
        width, height = image.size
    x, y = int(left * (width - data.size + 1)), int(top * (height - data.size + 1))
    return image.crop((x, y, x + data.size, y + data.size))


def _near(side: int, multiple: int) -> int:
    return max(multiple, round(side / multiple) * multiple)


def _resize(image: Image.Image, width: int, height: int) -> Image.Image:
    return image if image.size == (width, height) else image.resize((width, height), Image.Resampling.BICUBIC)


def test_images(
    source: Source, data: DataOptions, spec: DataSpec, multiple: int, count: int | None = None
) -> dict[str, list[Tensor]]:
    """The test images of each domain, or `count` of them from first to last: neighbours are often much alike.

    Each is (channels, height, width) in [-1, 1]. Where the source knows the truth, one index shows the same thing in
    all domains, also after broken ones are skipped.
    """
    together = [spec.domains] if source.truth else [(domain,) for domain in spec.domains]
    found = {}
    for domains in together:
        rows = list(islice(_rows(source, data, spec, multiple, *domains, count=count), count))
        found |= {domain: [row[place][1] for row in rows] for place, domain in enumerate(domains)}
    return found


def labelled_test_images(
    source: Source, data: DataOptions, spec: DataSpec, multiple: int, domain: str
) -> Iterator[tuple[ImageRef, Tensor]]:
    """The test images of a domain as what they are and as the networks see them."""
    return (row[0] for row in _rows(source, data, spec, multiple, domain))


def _rows(
    source: Source, data: DataOptions, spec: DataSpec, multiple: int, *domains: str, count: int | None = None
) -> Iterator[list[tuple[ImageRef, Tensor]]]:
    """One test image of each of these domains at a time, as what it is and as the networks see it.

    The first `count` are spread over all there are; then come those between.
    """
    rows = list(zip(*(source.images("test", domain) for domain in domains), strict=True))
    step = max(1, len(rows) // count) if count else 1
    for images in (row for first in range(step) for row in rows[first::step]):
        try:
            channels = (spec.channels[domain] for domain in domains)
            yield [(p, test_tensor(p, data, c, multiple)) for p, c in zip(images, channels, strict=True)]
        except GanzooError as error:
            if data.broken == "stop":
                raise
            _tell_once(str(error))


def test_tensor(image: ImageRef, data: DataOptions, channels: int, multiple: int) -> Tensor:
    """An image without anything random, (channels, height, width) in [-1, 1]."""
    return to_tensor(test_transform(convert(image.open(), channels), data, multiple))
