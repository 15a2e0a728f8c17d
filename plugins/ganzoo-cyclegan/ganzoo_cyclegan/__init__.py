"""CycleGAN for ganzoo."""

from ganzoo import hookimpl


@hookimpl
def register_models(register):
    register(
        "cyclegan",
        "ganzoo_cyclegan.model:CycleGAN",
        summary="unpaired image-to-image translation between two domains",
        data_kind="unpaired",
        paper="Zhu et al. 2017, arXiv:1703.10593",
    )


@hookimpl
def register_commands(register):
    register(
        "import-cyclegan",
        "ganzoo_cyclegan.importer:import_cyclegan",
        summary="make a ganzoo file of generators trained with the authors' code",
    )
