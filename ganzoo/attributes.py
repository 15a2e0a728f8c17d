"""Targets of labelled models, such as "blond,no-glasses": which labels an image should have."""

from ganzoo.errors import GanzooError
from ganzoo.registry import did_you_mean
from ganzoo.trainer import DataSpec


def all_targets(spec: DataSpec) -> list[str]:
    """Every change of one label: each label, and "no-LABEL" where it may simply be absent."""
    exclusive = {name for group in spec.groups for name in group}
    return [t for name in spec.labels for t in ((name,) if name in exclusive else (name, f"no-{name}"))]


def parse_target(spec: DataSpec, target: str) -> dict[str, bool]:
    """What "blond,smiling,no-glasses" sets (True) and clears (False); a label of a group clears the group's others.

    Raises GanzooError for a label that there is not, and for a target that contradicts itself.
    """
    changes: dict[str, bool] = {}
    for word in (part.strip() for part in target.split(",")):
        there = word in spec.labels
        name = word if there else word.removeprefix("no-")
        group = next((group for group in spec.groups if name in group), ())
        if name not in spec.labels:
            near, known = did_you_mean(word, all_targets(spec)), ", ".join(all_targets(spec))
            raise GanzooError(f'There is no label "{word}".{near} This run knows: {known}, or several with commas.')
        if group and not there:
            others = ", ".join(other for other in group if other != name)
            raise GanzooError(f'"{word}" says only what an image should not be. Say which instead: {others}.')
        for label, value in ({other: other == name for other in group} or {name: there}).items():
            if changes.setdefault(label, value) != value:
                raise GanzooError(f'"{target}" contradicts itself about {label}. Leave out one of its words.')
    return changes
