"""A trained model applied to files: decoded ahead of the networks, and encoded behind them."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from itertools import chain
from pathlib import Path

from PIL import Image

from ganzoo.data.images import KINDS, NO_IMAGE, LeftOut, find_images, tell
from ganzoo.errors import GanzooError, out_of_memory
from ganzoo.files import refuse_existing, write_bytes
from ganzoo.gallery import Gallery
from ganzoo.imagefile import HEIC_NEEDED, HEIF, Say, encoded, image_format, opened, suffixes
from ganzoo.translate import Translator

Read = tuple[Image.Image, list[str]]  # an image, and what is to be said of it


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
    gallery: Path | None = None,
    say: Say = print,
) -> Iterator[tuple[int, int, str | None]]:
    """Translates an image or every image in a folder, with names and sizes kept; yields (done, of, what failed).

    `variants`: N translations of each image, NAME-1, NAME-2 and so on, with the seed and those after it. `grid`:
    instead of the translation an image of all translations. `size`, `tile`: as for `Translator.translate`. `gallery`:
    a page that compares the images with their translations. `say` is given what is left out of the folder, and of
    images. Raises GanzooError, before anything is written, if a result would overwrite a file or has a suffix of no
    image.
    """
    seeds = [seed] if variants is None else range(seed or 0, (seed or 0) + variants)
    numbers = range(1, variants + 1) if variants and not grid else ()
    pairs = [
        (file, [result.with_stem(f"{result.stem}-{number}") for number in numbers] or [result])
        for file, result in _pairs(input, output, say)
    ]
    style = None if reference is None else opened(reference)
    direction = translator.direction(to, source)
    translator.reference_tensor(style, direction[1], seeds[0])
    for result in chain(*(results for _, results in pairs)):
        image_format(result)
        refuse_existing(result)
    page = None
    if gallery:
        refuse_existing(gallery)
        page = Gallery(*direction, len(pairs) * len(seeds))

    def translated(image: Image.Image, number: int, tell: Say) -> Image.Image:
        if grid:
            return translator.grid(image, source, style, seeds, size, tile, tell)
        return translator.translate(image, to, source, style, seeds[number], size, tile, tell)

    def write(image: Image.Image, made: Image.Image, result: Path) -> str | None:
        """What failed, if anything did."""
        try:
            content = encoded(made, result)
            if page:
                page.add(_name(result, output), image, made)
        except GanzooError as error:
            return str(error)
        except MemoryError:
            return _too_large(result, made)
        write_bytes(result, content)
        return None

    def begin(file: Path, results: list[Path], read: Future[Read]) -> Callable[[], str | None]:
        """Translates one image; what it gives waits until all is written, and says what failed."""
        image = None
        try:
            image, notes = read.result()
            for note in notes:
                say(f"{file}: {note}.")
            written = []
            for number, result in enumerate(results):
                made = translated(image, number, lambda note: say(f"{file}: {note}."))
                written.append(writer.submit(write, image, made, result))
            return lambda: next(filter(None, [future.result() for future in written]), None)
        except GanzooError as error:
            failure = str(error)
        except (MemoryError, RuntimeError) as error:
            if not image or not out_of_memory(error):
                raise
            failure = _too_large(file, image)
        return lambda: failure

    begun: deque[Callable[[], str | None]] = deque()
    with ThreadPoolExecutor(1) as reader, ThreadPoolExecutor(1) as writer:
        reads = _read_ahead(reader, [file for file, _ in pairs])
        for place, ((file, results), read) in enumerate(zip(pairs, reads, strict=True)):
            begun.append(begin(file, results, read))
            if place:
                yield place, len(pairs), begun.popleft()()
        yield len(pairs), len(pairs), begun.popleft()()
    if page and gallery:
        page.write(gallery)


def _read_ahead(reader: Executor, files: Iterable[Path]) -> Iterator[Future[Read]]:
    """Each image, while the next one is decoded already."""

    def read(file: Path) -> Read:
        notes: list[str] = []
        return opened(file, notes.append), notes

    waiting: deque[Future[Read]] = deque()
    for file in files:
        waiting.append(reader.submit(read, file))
        if len(waiting) > 1:
            yield waiting.popleft()
    yield from waiting


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
