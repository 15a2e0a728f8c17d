"""Everything in ganzoo that can be extended.

A plugin is a Python package with an entry point in the group `ganzoo`; the module it names implements some of these
hooks with `@ganzoo.hookimpl`. Each hook is given `register(name, target, summary="", **facts)`, where `target` is
`"package.module:Name"`: it is imported when it is used, so that listing plugins imports no torch.
"""

from collections.abc import Callable

import pluggy

hookspec = pluggy.HookspecMarker("ganzoo")
hookimpl = pluggy.HookimplMarker("ganzoo")
"""Marks a function of a plugin as what the plugin does for the hook of that name."""

Register = Callable[..., None]
"""What a hook is given: `register(name, target, summary="", **facts)`. A fact is text that `ganzoo list` can show."""


@hookspec
def register_models(register: Register) -> None:
    """Models: `ganzoo.Trainer` subclasses. Facts: `data_kind`, `paper`, `bibtex`."""


@hookspec
def register_generators(register: Register) -> None:
    """Generators: `ganzoo.Generator` subclasses, built with (in_channels, out_channels, size, **own options)."""


@hookspec
def register_discriminators(register: Register) -> None:
    """Discriminators: `ganzoo.Discriminator` subclasses, built with (in_channels, size, **own options)."""


@hookspec
def register_losses(register: Register) -> None:
    """Adversarial losses: `ganzoo.Loss` subclasses, built with (**own options)."""


@hookspec
def register_penalties(register: Register) -> None:
    """Gradient penalties: `ganzoo.Penalty` subclasses, built with (**own options)."""


@hookspec
def register_sources(register: Register) -> None:
    """Data sources: `ganzoo.Source` subclasses, built with (options, kind, **own options). Fact: `data_kinds` (those
    they have, separated by spaces)."""


@hookspec
def register_kinds(register: Register) -> None:
    """Kinds of data: `ganzoo.DataKind` subclasses. The summary says what a batch holds."""


@hookspec
def register_archives(register: Register) -> None:
    """Published archives: `ganzoo.Archive` objects, which `data.source` names. Fact: `data_kinds`, as for sources."""


@hookspec
def register_pretrained(register: Register) -> None:
    """Published weights: `ganzoo.Pretrained` objects, whose names `ganzoo translate` and `ganzoo.load` take. Facts:
    `model` (that they are of), `paper`."""


@hookspec
def register_importers(register: Register) -> None:
    """Importers: `ganzoo.Importer` subclasses, under the name of the model whose weights, written by other programs,
    they read."""


@hookspec
def register_metrics(register: Register) -> None:
    """Metrics: `ganzoo.Metric` subclasses, built with (**own options). Fact: `better` ("lower" or "higher")."""


@hookspec
def register_loggers(register: Register) -> None:
    """Loggers: `ganzoo.Logger` subclasses, built with (run, images, **own options)."""


@hookspec
def register_commands(register: Register) -> None:
    """Commands: `click.Command` objects; `ganzoo NAME` runs them. The names of ganzoo's own commands are taken."""
