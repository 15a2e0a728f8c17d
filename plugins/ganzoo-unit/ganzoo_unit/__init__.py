"""UNIT for ganzoo."""

from ganzoo import hookimpl

BIBTEX = """@inproceedings{liu2017unit,
  author = {Liu, Ming-Yu and Breuel, Thomas and Kautz, Jan},
  title = {Unsupervised Image-to-Image Translation Networks},
  booktitle = {Advances in Neural Information Processing Systems},
  year = {2017},
  eprint = {1703.00848},
  archivePrefix = {arXiv},
}"""


@hookimpl
def register_models(register):
    register(
        "unit",
        "ganzoo_unit.model:UNIT",
        summary="unpaired translation through a shared latent space",
        data_kind="unpaired",
        paper="Liu et al. 2017, arXiv:1703.00848",
        bibtex=BIBTEX,
    )
