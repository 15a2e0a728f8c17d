"""StarGAN for ganzoo."""

from ganzoo import hookimpl


@hookimpl
def register_models(register):
    register(
        "stargan",
        "ganzoo_stargan.model:StarGAN",
        summary="multi-domain translation: labelled attributes such as hair colour or expression",
        data_kind="labelled",
        paper="Choi et al. 2018, arXiv:1711.09020",
    )


@hookimpl
def register_generators(register):
    register("stargan", "ganzoo_stargan.nets:StarGANGenerator", summary="residual blocks, zero padding, for labels")
