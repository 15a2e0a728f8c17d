"""The conformance test of a model."""

import tempfile
import tomllib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from ganzoo import recipe as recipes
from ganzoo.data.kinds import load_kind
from ganzoo.registry import registry
from ganzoo_testing.case import Case
from ganzoo_testing.helpers import SIZE, parsed
from ganzoo_testing.subject import Subject, check_options, check_package
from ganzoo_testing.training import check_bf16, check_optimizers, check_processes, check_resume, check_updates
from ganzoo_testing.use import check_export, check_generate, check_styles, check_translate, check_use

LENGTH = 10_000_000  # images; rates stay what they are in all that is tried


def check_model(
    name: str,
    options: Mapping[str, Any] | None = None,
    *,
    size: int = SIZE,
    domains: tuple[str, ...] = (),
    overlapping: bool = False,
    processes: bool = True,
) -> None:
    """Puts a registered model through its paces on random images, small and on the CPU. Raises ConformanceError.

    `options` make it small: they are keys of the model's Config. `size`: side of the images in pixels. `domains`: names
    in place of those of the example data. `overlapping` says that the model means to train a parameter with more than
    one optimizer. `processes`: whether two more processes are started that share the batches, which one test of a model
    should do; call it from a test, or below `if __name__ == "__main__":`.
    """
    subject = Subject("model", name)
    check_package(subject)
    recipe = parsed(name, options, size, images=LENGTH)
    if not registry().matches("kind", recipe.data_kind):
        raise subject.wrong("data_kind", f'a registered kind of data; it is "{recipe.data_kind}"')
    spec = load_kind(recipe.data_kind).example_spec(size)
    if domains:
        spec = replace(spec, domains=domains, channels=dict.fromkeys(domains, 3))
    check_options(subject, "Config", recipe.options, recipes.parse(tomllib.loads(recipe.to_toml())).options)
    with tempfile.TemporaryDirectory() as folder:
        case = Case("model", name, recipe, spec, Path(folder) / "checkpoint", overlapping)
        engine = check_optimizers(case)
        after = check_updates(case, engine)
        check_resume(case, engine, after)
        trainer, fresh = engine.trainer, case.model()
        with case.expecting("checkpoint", "weights that a new model can load"):
            fresh.load_state_dict(trainer.state_dict())
        fresh.eval()  # as another process has it
        check_use(case, trainer)
        check_styles(case, fresh)
        check_translate(case, trainer, fresh)
        check_generate(case, trainer, fresh)
        check_bf16(case)
        if processes:
            check_processes(case)
        check_export(case, fresh)
