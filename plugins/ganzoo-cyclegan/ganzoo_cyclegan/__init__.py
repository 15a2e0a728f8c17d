"""CycleGAN for ganzoo."""

from ganzoo import hookimpl

BIBTEX = """@inproceedings{zhu2017cyclegan,
  author = {Zhu, Jun-Yan and Park, Taesung and Isola, Phillip and Efros, Alexei A.},
  title = {Unpaired Image-to-Image Translation using Cycle-Consistent Adversarial Networks},
  booktitle = {IEEE International Conference on Computer Vision},
  year = {2017},
  eprint = {1703.10593},
  archivePrefix = {arXiv},
}"""


@hookimpl
def register_models(register):
    register(
        "cyclegan",
        "ganzoo_cyclegan.model:CycleGAN",
        summary="unpaired image-to-image translation between two domains",
        data_kind="unpaired",
        paper="Zhu et al. 2017, arXiv:1703.10593",
        bibtex=BIBTEX,
    )


@hookimpl
def register_commands(register):
    register(
        "import-cyclegan",
        "ganzoo_cyclegan.importer:import_cyclegan",
        summary="make a ganzoo file of generators trained with the authors' code",
    )
