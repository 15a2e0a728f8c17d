"""StarGAN v2 for ganzoo."""

from ganzoo import hookimpl

BIBTEX = """@inproceedings{choi2020starganv2,
  author = {Choi, Yunjey and Uh, Youngjung and Yoo, Jaejun and Ha, Jung-Woo},
  title = {StarGAN v2: Diverse Image Synthesis for Multiple Domains},
  booktitle = {IEEE Conference on Computer Vision and Pattern Recognition},
  year = {2020},
  eprint = {1912.01865},
  archivePrefix = {arXiv},
}"""


@hookimpl
def register_models(register):
    register(
        "starganv2",
        "ganzoo_starganv2.model:StarGANv2",
        summary="diverse translation between any number of domains, in the style of a reference image or at random",
        data_kind="domains-with-references",
        paper="Choi et al. 2020, arXiv:1912.01865",
        bibtex=BIBTEX,
    )


@hookimpl
def register_kinds(register):
    register(
        "domains-with-references",
        "ganzoo_starganv2.data:DomainsWithReferences",
        summary='batch["image"] of batch["domain"], and batch["reference"] and batch["reference2"] of batch["target"]',
    )
