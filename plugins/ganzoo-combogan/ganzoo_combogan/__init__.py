"""ComboGAN for ganzoo."""

from ganzoo import hookimpl


@hookimpl
def register_models(register):
    register(
        "combogan",
        "ganzoo_combogan.model:ComboGAN",
        summary="unpaired translation between any number of domains",
        data_kind="domains",
        paper="Anoosheh et al. 2018, arXiv:1712.06909",
    )


@hookimpl
def register_discriminators(register):
    register(
        "two-stream",
        "ganzoo_combogan.nets:TwoStreamDiscriminator",
        summary="ComboGAN's: grey and colour, several depths",
    )
