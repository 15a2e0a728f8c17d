"""Labels of images: what a target such as "blond,no-glasses" asks for."""

from ganzoo.errors import GanzooError
from ganzoo.registry import did_you_mean
from ganzoo.trainer import DataSpec


def targets(spec: DataSpec) -> list[str]:
    """Every change of one label: each label, and "no-LABEL" where it may simply be absent."""
    exclusive = {name for group in spec.groups for name in group}
    return [t for name in spec.labels for t in ((name,) if name in exclusive else (name, f"no-{name}"))]


def wanted(spec: DataSpec, target: str) -> dict[str, bool]:
    """The labels that "blond,smiling,no-glasses" sets or clears; one of an exclusive group clears the others."""
    asked: dict[str, bool] = {}
    for word in (part.strip() for part in target.split(",")):
        there = word in spec.labels
        name = word if there else word.removeprefix("no-")
        group = next((group for group in spec.groups if name in group), ())
        if name not in spec.labels:
            raise GanzooError(
                f'There is no label "{word}".{did_you_mean(word, targets(spec))} This run knows: '
                f"{', '.join(targets(spec))}. Write several with commas between them."
            )
        if group and not there:
            others = ", ".join(other for other in group if other != name)
            raise GanzooError(f'"{word}" says only what an image should not be. Say which instead: {others}.')
        for label, value in ({other: other == name for other in group} or {name: there}).items():
            if asked.setdefault(label, value) != value:
                raise GanzooError(f'"{target}" contradicts itself about {label}. Leave out one of its words.')
    return asked
