"""XGAN for ganzoo."""

from ganzoo import hookimpl

BIBTEX = r"""@misc{royer2017xgan,
  author = {Royer, Am{\'e}lie and Bousmalis, Konstantinos and Gouws, Stephan and Bertsch, Fred and Mosseri,
    Inbar and Cole, Forrester and Murphy, Kevin},
  title = {XGAN: Unsupervised Image-to-Image Translation for Many-to-Many Mappings},
  year = {2017},
  eprint = {1711.05139},
  archivePrefix = {arXiv},
}"""


@hookimpl
def register_models(register):
    register(
        "xgan",
        "ganzoo_xgan.model:XGAN",
        summary="unpaired translation through a shared semantic embedding",
        data_kind="unpaired",
        paper="Royer et al. 2017, arXiv:1711.05139",
        bibtex=BIBTEX,
    )
