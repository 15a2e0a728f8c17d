"""What a model must know of its data, checked against what the recipe says of it."""

from collections.abc import Collection, Iterable

from torch import nn

from ganzoo.data.sources import Source
from ganzoo.errors import GanzooError
from ganzoo.options import DataOptions
from ganzoo.registry import did_you_mean
from ganzoo.trainer import DataSpec


def data_spec(source: Source, options: DataOptions) -> DataSpec:
    """The spec of a source opened with this `[data]` table. Raises GanzooError where the two do not fit."""
    domains, channels, sets = source.domains, options.channels, options.label_sets
    check_names(domains)
    if isinstance(channels, dict):
        check_known("data.channels: there is no domain", channels, domains)
        check_known("data.channels: missing domain", domains, channels)
    else:
        channels = dict.fromkeys(domains, channels)
    listed = [name for names in sets for name in names]
    check_known("data.label_sets: there is no label", listed, source.labels)
    if sets:
        check_known("data.label_sets leaves out", source.labels, listed)
    for name in listed:
        if listed.count(name) > 1:
            raise GanzooError(f'data.label_sets has "{name}" twice: every label belongs to one set.')
    for group in source.groups:
        if sets and not any(set(group) <= set(names) for names in sets):
            raise GanzooError(f"data.label_sets takes {', '.join(group)} apart, of which only one holds.")
    return DataSpec(domains, channels, options.size, source.labels, source.groups, sets)


def check_known(problem: str, names: Iterable[str], known: Collection[str]) -> None:
    """Raises GanzooError, a sentence that begins with the problem, for a name that is not among the known ones."""
    for name in names:
        if name not in known:
            listed = f"It has: {', '.join(known)}." if known else "It has none."
            raise GanzooError(f'{problem} "{name}".{did_you_mean(name, list(known))} {listed}')


def check_names(domains: Iterable[str]) -> None:
    """Raises GanzooError for a domain that networks cannot be kept under."""
    for name in domains:
        if "." in name or hasattr(nn.ModuleDict, name):
            raise GanzooError(
                f'"{name}" cannot be the name of a domain, because networks are kept under it. Rename its folder, '
                "or give trainA, trainB ... names with data.domains."
            )
