"""DiscoGAN for ganzoo."""

from ganzoo import hookimpl

BIBTEX = """@inproceedings{kim2017discogan,
  author = {Kim, Taeksoo and Cha, Moonsu and Kim, Hyunsoo and Lee, Jung Kwon and Kim, Jiwon},
  title = {Learning to Discover Cross-Domain Relations with Generative Adversarial Networks},
  booktitle = {International Conference on Machine Learning},
  year = {2017},
  eprint = {1703.05192},
  archivePrefix = {arXiv},
}"""


@hookimpl
def register_models(register):
    register(
        "discogan",
        "ganzoo_discogan.model:DiscoGAN",
        summary="unpaired translation between two domains by mutual reconstruction",
        data_kind="unpaired",
        paper="Kim et al. 2017, arXiv:1703.05192",
        bibtex=BIBTEX,
    )


@hookimpl
def register_generators(register):
    register(
        "disco",
        "ganzoo_discogan.nets:DiscoGenerator",
        summary="four-layer encoder-decoder for 64 px images, with or without a bottleneck",
    )


@hookimpl
def register_discriminators(register):
    register(
        "disco",
        "ganzoo_discogan.nets:DiscoDiscriminator",
        summary="DiscoGAN's: one logit for a 64 px image, with features",
    )
