"""What a model must know of its data, checked against what the recipe says of it."""

from collections.abc import Sequence

from torch import nn

from ganzoo.data.sources import Source
from ganzoo.errors import GanzooError
from ganzoo.options import DataOptions
from ganzoo.registry import did_you_mean
from ganzoo.trainer import DataSpec


def data_spec(source: Source, options: DataOptions) -> DataSpec:
    """The spec of a source opened with this `[data]` table. Raises GanzooError where the two do not fit."""
    domains, channels = source.domains, options.channels
    check_names(domains)
    if isinstance(channels, dict):
        for name in channels:
            if name not in domains:
                raise GanzooError(
                    f'data.channels: unknown domain "{name}".{did_you_mean(name, list(domains))} '
                    f"The domains are: {', '.join(domains)}."
                )
        for name in domains:
            if name not in channels:
                raise GanzooError(f'data.channels: missing domain "{name}": add {name} = 3, or 1 if grey.')
    else:
        channels = dict.fromkeys(domains, channels)
    _check_sets(source.labels, source.groups, options.label_sets)
    return DataSpec(domains, channels, options.size, source.labels, source.groups, options.label_sets)


def check_names(domains: Sequence[str]) -> None:
    """Raises GanzooError for a domain that networks cannot be kept under."""
    for name in domains:
        if "." in name or hasattr(nn.ModuleDict, name):
            raise GanzooError(
                f'"{name}" cannot be the name of a domain, because networks are kept under it. Rename its folder, '
                "or give trainA, trainB ... names with data.domains."
            )


def _check_sets(
    labels: tuple[str, ...], groups: tuple[tuple[str, ...], ...], sets: tuple[tuple[str, ...], ...]
) -> None:
    listed = [name for names in sets for name in names]
    for name in listed:
        if name not in labels:
            raise GanzooError(
                f'data.label_sets names "{name}".{did_you_mean(name, list(labels))} '
                f"The data has: {', '.join(labels) or 'no labels'}."
            )
        if listed.count(name) > 1:
            raise GanzooError(f'data.label_sets has "{name}" twice: every label belongs to one set.')
    for name in labels if sets else ():
        if name not in listed:
            raise GanzooError(f'data.label_sets leaves out "{name}": add it to a set, or choose data.attributes.')
    for group in groups:
        if sets and not any(set(group) <= set(names) for names in sets):
            raise GanzooError(f"data.label_sets takes {', '.join(group)} apart, of which only one holds.")
