from ganzoo import hookimpl


@hookimpl
def register_discriminators(register):
    register(
        "multi-scale",
        "ganzoo_multiscale.nets:MultiScaleDiscriminator",
        summary="PatchGANs of the image and of smaller copies (Wang 2018)",
    )
