"""GAN and conditional GAN for ganzoo."""

from ganzoo import hookimpl

GAN_BIBTEX = """@inproceedings{goodfellow2014gan,
  author = {Goodfellow, Ian and Pouget-Abadie, Jean and Mirza, Mehdi and Xu, Bing and Warde-Farley, David and
    Ozair, Sherjil and Courville, Aaron and Bengio, Yoshua},
  title = {Generative Adversarial Nets},
  booktitle = {Advances in Neural Information Processing Systems},
  year = {2014},
  eprint = {1406.2661},
  archivePrefix = {arXiv},
}"""

DCGAN_BIBTEX = """@inproceedings{radford2016dcgan,
  author = {Radford, Alec and Metz, Luke and Chintala, Soumith},
  title = {Unsupervised Representation Learning with Deep Convolutional Generative Adversarial Networks},
  booktitle = {International Conference on Learning Representations},
  year = {2016},
  eprint = {1511.06434},
  archivePrefix = {arXiv},
}"""

CGAN_BIBTEX = """@misc{mirza2014cgan,
  author = {Mirza, Mehdi and Osindero, Simon},
  title = {Conditional Generative Adversarial Nets},
  year = {2014},
  eprint = {1411.1784},
  archivePrefix = {arXiv},
}"""


@hookimpl
def register_models(register):
    register(
        "gan",
        "ganzoo_gan.model:GAN",
        summary="image generation from noise",
        data_kind="images",
        paper="Goodfellow et al. 2014, arXiv:1406.2661; Radford et al. 2015, arXiv:1511.06434",
        bibtex=f"{GAN_BIBTEX}\n\n{DCGAN_BIBTEX}",
    )
    register(
        "cgan",
        "ganzoo_gan.model:CGAN",
        summary="class-conditional generation",
        data_kind="labelled",
        paper="Mirza and Osindero 2014, arXiv:1411.1784",
        bibtex=CGAN_BIBTEX,
    )
