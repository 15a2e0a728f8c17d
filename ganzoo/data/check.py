"""A look at a data set before it is trained on: counts, sizes, broken files, test images among the training ones."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field

from ganzoo.data.images import convert
from ganzoo.data.sources import Source
from ganzoo.errors import GanzooError


@dataclass
class Part:
    """One split of one domain."""

    split: str
    domain: str
    count: int = 0
    sizes: dict[tuple[int, int], int] = field(default_factory=dict)  # (width, height) -> images
    modes: dict[str, int] = field(default_factory=dict)  # Pillow's names of pixel formats -> images


@dataclass
class Findings:
    parts: list[Part] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)  # a sentence each
    leaks: list[tuple[str, str]] = field(default_factory=list)  # names of the same image in train and in test
    untested: list[str] = field(default_factory=list)  # domains that are tested on their training images


def check(source: Source, progress: Callable[[int, int], None] | None = None) -> Findings:
    """Opens every image once."""
    findings = Findings()
    seen: dict[bytes, str] = {}
    findings.untested = [d for d in source.domains if source.images("test", d) == source.images("train", d)]
    splits = [("train", domain) for domain in source.domains]
    splits += [("test", domain) for domain in source.domains if domain not in findings.untested]
    total = sum(len(source.images(*split)) for split in splits)
    done = 0
    for split, domain in splits:
        part = Part(split, domain)
        findings.parts.append(part)
        for ref in source.images(split, domain):
            done += 1
            try:
                image = ref.open()
            except GanzooError as error:
                findings.broken.append(str(error).split(". Replace")[0])
                continue
            finally:
                if progress:
                    progress(done, total)
            part.count += 1
            part.sizes[image.size] = part.sizes.get(image.size, 0) + 1
            part.modes[image.mode] = part.modes.get(image.mode, 0) + 1
            pixels = hashlib.sha256(convert(image, 4).tobytes() + str(image.size).encode()).digest()
            if split == "train":
                seen.setdefault(pixels, ref.name)
            elif pixels in seen:
                findings.leaks.append((seen[pixels], ref.name))
    return findings
