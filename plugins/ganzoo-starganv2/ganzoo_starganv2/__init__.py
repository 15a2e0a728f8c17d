"""StarGAN v2 for ganzoo."""

from ganzoo import hookimpl


@hookimpl
def register_models(register):
    register(
        "starganv2",
        "ganzoo_starganv2.model:StarGANv2",
        summary="diverse translation between any number of domains, in the style of a reference image or at random",
        data_kind="domains-with-references",
        paper="Choi et al. 2020, arXiv:1912.01865",
    )


@hookimpl
def register_kinds(register):
    register(
        "domains-with-references",
        "ganzoo_starganv2.data:DomainsWithReferences",
        summary='batch["image"] of batch["domain"], and batch["reference"] and batch["reference2"] of batch["target"]',
    )
