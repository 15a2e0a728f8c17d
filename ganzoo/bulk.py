"""A trained model applied to files: decoded ahead of the networks, and encoded behind them, in other threads."""

import os
import warnings
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

from PIL import Image
from torch import Tensor

from ganzoo.data.images import KINDS, NO_IMAGE, LeftOut, find_images, tell, to_bytes
from ganzoo.errors import GanzooError, out_of_memory
from ganzoo.files import refuse_existing, write_bytes
from ganzoo.gallery import Gallery
from ganzoo.imagefile import HEIC_NEEDED, HEIF, Say, encoded, image_format, opened, pixels, suffixes
from ganzoo.translate import Prepared, Style, Translator, finished

Read = tuple[Image.Image, list[str]]  # an image, and what is to be said of it
Written = tuple[str | None, dict[str, Any] | None]  # what failed, and what the gallery shows
AHEAD = 24_000_000  # pixels of the images that wait for the networks or for being written, unless it is a single one
THREADS = min(8, os.cpu_count() or 1)


def translate_files(
    translator: Translator,
    input: Path,
    output: Path,
    to: str | None = None,
    source: str | None = None,
    *,
    reference: Path | None = None,
    seed: int | None = None,
    variants: int | None = None,
    grid: bool = False,
    size: int | None = None,
    tile: int | None = None,
    batch: int | None = None,
    gallery: Path | None = None,
    say: Say = print,
) -> Iterator[tuple[int, int, str | None]]:
    """Translates an image or every image in a folder, with names and sizes kept; yields (done, of, what failed).

    `variants`: N translations of each image, NAME-1, NAME-2 and so on, with the seed and those after it. `grid`:
    instead of the translation an image of all translations. `size`, `tile`: as for `Translator.translate`. `batch`: how
    many images of one size go through the networks at once, where no size or tile is given, the memory allows it and no
    image changes another; by default 16 on a GPU, and 1 elsewhere. `gallery`: a page that
    compares the images with their translations. `say` is given what is left out of the folder, and of images. Raises
    GanzooError, before anything is written, if a result would overwrite a file or has a suffix of no image.
    """
    seeds = [seed] if variants is None else range(seed or 0, (seed or 0) + variants)
    numbers = range(1, variants + 1) if variants and not grid else ()
    jobs = [
        _Job(file, [result.with_stem(f"{result.stem}-{number}") for number in numbers] or [result])
        for file, result in _pairs(input, output, say)
    ]
    shown = None if reference is None else opened(reference)
    styles = [translator.style(to, source, shown, number) for number in seeds]
    asked = styles[0]
    for result in chain(*(job.results for job in jobs)):
        image_format(result)
        refuse_existing(result)
    page = None
    if gallery:
        refuse_existing(gallery)
        page = Gallery(asked.source, asked.target, len(jobs) * len(seeds))
    alone = grid or size is not None or tile is not None
    at_once = 1 if alone else translator.at_once(asked, batch, say)

    def read(file: Path) -> Read:
        notes: list[str] = []
        return opened(file, notes.append), notes

    def write(image: Image.Image, made: Image.Image | Tensor, result: Path) -> Written:
        try:
            made = finished(image, made) if isinstance(made, Tensor) else made
            content = encoded(made, result)
            entry = page.entry(_name(result, output), image, made) if page else None
        except GanzooError as error:
            return str(error), None
        except MemoryError:
            return _too_large(result, image), None
        write_bytes(result, content)
        return None, entry

    def translated(job: _Job, image: Prepared, style: Style) -> Image.Image | Tensor:
        def tell(note: str) -> None:
            say(f"{job.file}: {note}.")

        if grid:
            return translator.grid(image.image, source, shown, seeds, size, tile, tell)
        return to_bytes(translator.any_size(image.pixels, style, size, tile, tell))

    def send(job: _Job, image: Prepared, made: Image.Image | Tensor) -> None:
        job.written.append(pool.submit(write, image.image, made, job.results[len(job.written)]))

    def by_itself(job: _Job, image: Prepared, style: Style) -> None:
        try:
            send(job, image, translated(job, image, style))
        except GanzooError as error:
            job.failure = str(error)
        except (MemoryError, RuntimeError) as error:
            if not out_of_memory(error):
                raise
            job.failure = _too_large(job.file, image.image)

    def begin(window: list[_Job]) -> None:
        """Translates images; writing them goes on in other threads."""
        images = [(job, found) for job in window if (found := job.read(say))]
        ready = [(job, translator.prepared(found, asked.source)) for job, found in images]
        for style in styles[:1] if grid else styles:
            ready = [(job, image) for job, image in ready if not job.failure]
            for places in translator.stacks([image.pixels for _, image in ready], style):
                stack = [ready[place] for place in places]
                try:
                    fakes = translator.together([image.pixels for _, image in stack], style) if len(stack) > 1 else []
                except (GanzooError, MemoryError, RuntimeError) as error:
                    if not (isinstance(error, GanzooError) or out_of_memory(error)):
                        raise
                    fakes = []  # each by itself, then, so that one spoils no other
                for (job, image), fake in zip(stack, fakes, strict=False):
                    send(job, image, fake)
                for job, image in stack[len(fakes) :]:
                    by_itself(job, image, style)

    begun: deque[_Job] = deque()
    done = 0
    # what is decoded in several threads cannot switch warnings off and on by itself
    with warnings.catch_warnings(action="ignore"), ThreadPoolExecutor(THREADS) as pool:
        for window in _windows(_read_ahead(pool, read, jobs, at_once), at_once):
            begin(window)
            begun.extend(window)
            while begun and (begun[0].done or _enough(begun, at_once)):
                done += 1
                yield done, len(jobs), begun.popleft().end(page)
        for job in begun:
            done += 1
            yield done, len(jobs), job.end(page)
    if page and gallery:
        page.write(gallery)


@dataclass
class _Job:
    """An image in a file, and where its translations go."""

    file: Path
    results: list[Path]
    pixels: int = 0
    reading: Future[Read] | None = None
    written: list[Future[Written]] = field(default_factory=list)
    failure: str | None = None

    def read(self, say: Say) -> Image.Image | None:
        """The image, which is not kept here; None where it cannot be read."""
        assert self.reading
        reading, self.reading = self.reading, None
        try:
            image, notes = reading.result()
        except GanzooError as error:
            self.failure = str(error)
            return None
        except MemoryError:
            self.failure = f"{self.file} is too large for the memory here"
            return None
        for note in notes:
            say(f"{self.file}: {note}.")
        return image

    @property
    def done(self) -> bool:
        return all(future.done() for future in self.written)

    def end(self, page: Gallery | None) -> str | None:
        """Waits until all is written; what failed, if anything did."""
        for future in self.written:
            failure, entry = future.result()
            self.failure = self.failure or failure
            if page and entry:
                page.images.append(entry)
        return self.failure


def _read_ahead(pool: Executor, read: Callable[[Path], Read], jobs: Iterable[_Job], at_once: int) -> Iterator[_Job]:
    """Each image, while the next ones are decoded already."""
    waiting: deque[_Job] = deque()
    for job in jobs:
        job.pixels = pixels(job.file)
        job.reading = pool.submit(read, job.file)
        waiting.append(job)
        while len(waiting) > 1 and _enough(waiting, at_once):
            yield waiting.popleft()
    yield from waiting


def _enough(waiting: Collection[_Job], at_once: int) -> bool:
    return sum(job.pixels for job in waiting) > AHEAD or len(waiting) > at_once + THREADS


def _windows(jobs: Iterable[_Job], most: int) -> Iterator[list[_Job]]:
    """So many images at a time, fewer where they are large."""
    window: list[_Job] = []
    for job in jobs:
        window.append(job)
        if len(window) == most or sum(job.pixels for job in window) > AHEAD:
            yield window
            window = []
    if window:
        yield window


def _too_large(file: Path, image: Image.Image) -> str:
    return f"{file} is too large for the memory here ({image.width}x{image.height} pixels)"


def _name(result: Path, output: Path) -> str:
    return str(result.relative_to(output) if result != output and result.is_relative_to(output) else result.name)


def generate_files(
    translator: Translator, output: Path, count: int | None = None, label: str | None = None, seed: int = 0
) -> Iterator[tuple[int, int]]:
    """Writes new images to the folder as 000.png, 001.png, ...; yields (done, of).

    Raises GanzooError, before anything is written, if one would overwrite a file.
    """
    if output.is_file():
        raise GanzooError(f"{output} is a file. Give a folder for the images.")
    count = translator.generated(count)
    digits = max(3, len(str(count - 1)))
    results = [output / f"{place:0{digits}d}.png" for place in range(count)]
    for result in results:
        refuse_existing(result)
    for done, (image, result) in enumerate(zip(translator.generate(count, label, seed), results, strict=True), start=1):
        write_bytes(result, encoded(image, result))
        yield done, count


def _pairs(source: Path, target: Path, say: Say) -> list[tuple[Path, Path]]:
    if source.is_dir():
        left_out: LeftOut = {}
        images = find_images(source, left_out=left_out, suffixes=suffixes())
        others = left_out.get(NO_IMAGE, [])
        if heic := [path for path in others if path.suffix.lower() in HEIF]:
            left_out[NO_IMAGE] = [path for path in others if path not in heic]
            left_out[HEIC_NEEDED] = heic
        for sentence in tell(left_out, source):
            say(sentence)
        if not images:
            raise GanzooError(f"{source} holds no images ({KINDS}).")
        return [(p, target / p.relative_to(source)) for p in images]
    if not source.exists():
        raise GanzooError(f"There is no image or folder {source}.")
    return [(source, target / source.name if target.is_dir() or not target.suffix else target)]
