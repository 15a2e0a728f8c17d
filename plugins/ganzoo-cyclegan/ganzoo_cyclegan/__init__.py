"""CycleGAN for ganzoo."""

from ganzoo import hookimpl


@hookimpl
def register_models(register):
    register(
        "cyclegan",
        "ganzoo_cyclegan.model:CycleGAN",
        summary="two unpaired sets of pictures, each translated into the other",
        data="unpaired",
        paper="Zhu et al. 2017, arXiv:1703.10593",
    )
