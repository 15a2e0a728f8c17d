"""ganzoo demo"""

import os
import signal
import tempfile

import click

from ganzoo.cli.output import say


@click.command("demo")
@click.argument("runs", metavar="RUN...", nargs=-1, required=True)
@click.option("--host", default="127.0.0.1", show_default=True, metavar="H", help="0.0.0.0: for other machines, too.")
@click.option("--port", type=click.IntRange(0, 65535), metavar="N", help="[default: the first free one from 7860 on]")
@click.option("--device", default="auto", show_default=True, metavar="D", help="auto, cpu, cuda or mps.")
def command(runs: tuple[str, ...], host: str, port: int | None, device: str) -> None:
    """Open a page to try trained RUNs on images of your own: drop, paste or take one. Ctrl-C ends it.

    Several RUNs stand beside each other. The page is for this machine only unless --host says otherwise; then everybody
    who reaches it can use it. Images stay in a temporary folder until it ends.

    Needs pip install "ganzoo[demo]".
    """
    from ganzoo.errors import GanzooError

    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    with tempfile.TemporaryDirectory(prefix=f"ganzoo-demo-{os.getpid()}-", ignore_cleanup_errors=True) as folder:
        os.environ["GRADIO_TEMP_DIR"] = folder
        try:
            from ganzoo import demo
        except ModuleNotFoundError as error:
            raise GanzooError(f'The page needs more than is installed ({error}): pip install "ganzoo[demo]"') from error
        from ganzoo import translate

        models = {name: translate.load(run, device) for name, run in demo.names(runs).items()}
        listening = demo.listen(host, port)
        here, at, *_ = listening.getsockname()
        address = f"http://{f'[{here}]' if ':' in here else here}:{at}"
        for name in ("SIGTERM", "SIGHUP"):
            if hasattr(signal, name):
                signal.signal(getattr(signal, name), signal.default_int_handler)
        demo.serve(models, listening, lambda: say(f"{', '.join(models)}: {address}   Ctrl-C ends it."))
    os._exit(0)  # without waiting for a translation that nobody will see
