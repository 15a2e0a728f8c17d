"""Every command that the README and the docs show is run, page by page, as it stands there.

What cannot be: a training as long as published, so a few images are enough; names that stand for others, such as RUN; and
downloads, which come from servers on this machine. The tutorial is run by tests/test_scaffold.py.
"""

import re
import shlex
import shutil
import signal
import urllib.request
from pathlib import Path

import click
import pytest
from click.testing import CliRunner
from PIL import Image
from published import cyclegan, published, saved, stargan
from servers import Hub, Mirror

from ganzoo.cli import cli

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")), *sorted((ROOT / "plugins").glob("*/README.md"))]
RECIPES = sorted((ROOT / "recipes").glob("*.toml"))
STAND_FOR = {
    "RUN": "runs/cyclegan_folders",
    "runs/NAME": "runs/cyclegan_folders",
    "runs/NAME/checkpoints/000012000": "runs/cyclegan_folders/checkpoints/000000004",
    "USER/NAME": "anna/monet",
    "RECIPE": "cyclegan_folders.toml",
    "MODEL": "cyclegan",
    "NAME": "cyclegan_monet",
    "KIND": "unpaired",
    "FOLDER": "images",
    "FILE": "model.safetensors",
    "FILE.toml": "new.toml",
    "INPUT": "photos",
    "PICTURES": "photos",
    "OUTPUT": "output",
    "0.0.0.0": "127.0.0.1",
}
STAND_FOR_COMMAND = {  # where the same word stands for something else
    "run NAME": "run cyclegan_folders.toml --out runs/other",
    "run RECIPE": "run cyclegan_folders.toml --out runs/other",
    "run RECIPE --preset NAME": "run cyclegan_horse2zebra --preset paper --dry-run",
    "run sketchgan": "run cyclegan --data images",
    "show NAME": "show cyclegan",
    "pull NAME": "pull style_monet",
    "translate NAME": "translate style_monet photo.jpg by_name.jpg",
    "compare FOLDER": "compare runs/leaderboard/landscapes",
    "generate RUN": "generate runs/gan new",
    "generate RUN OUTPUT": "generate runs/gan new",
    "translate runs/starganv2_faces clip.mp4 blond.mp4 --to blond --seed 3": "translate runs/starganv2_faces clip.mp4 blond.mp4 --to night --seed 3",
    "new plugin NAME": "new plugin another",
    "new plugin NAME --kind KIND --out plugins/ganzoo-NAME": "new plugin sketchgan --kind unpaired --out p/ganzoo-sketchgan",
}
ELSEWHERE = (  # what downloads a file whose checksum is known, so that no small one can stand for it
    "data get horse2zebra",  # tests/test_archives.py
    "evaluate RUN --metric fid",  # tests/test_metrics.py
    # weights of four networks, which the plugin's tests make: plugins/ganzoo-combogan/tests/test_importer.py
    "import '200_net_G*.pth' seasons.safetensors --domains autumn,spring,summer,winter",
)
AT_ONCE = (
    "list",
    "show",
    "recipes",
    "pretrained",
    "copy",
    "new",
    "cite",
    "schema",
    "data",
)  # need no process of their own
RESNET = (
    'generator = { name = "resnet", width = 4, blocks = 1 }\ndiscriminator = { name = "patch", width = 4, layers = 1 }'
)
TINY = {  # name -> model and its options
    "cyclegan_folders": ("cyclegan", RESNET),
    "cut_folders": ("cut", RESNET.replace("resnet", "resnet-antialiased").replace("blocks = 1", "blocks = 3")),
    "starganv2_faces": ("starganv2", "width = 4\nmax_width = 8\nhidden = 8\nstyle = 6"),
    "gan": ("gan", "latent = 8\ngenerator_width = 4\ndiscriminator_width = 4"),
}
QUICK = ["--set", "train.images=2", "--set", "train.metrics=[]"]
SMALL = [*QUICK, "--set", "data.size=32", "--set", "data.load=36"]


def shown(page):
    """The command lines of ganzoo in the blocks, inline code and comments of a page, as words."""
    text = page.read_text(encoding="utf-8").replace("\\\n", " ")
    blocks = re.findall(r"^```(\w*)\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)
    lines = [line for language, block in blocks if language == "bash" for line in block.splitlines()]
    lines += re.findall(r"`(ganzoo [^`\n]+)`", text)
    for line in lines:
        line = re.sub(r"^[\w./$ ]*?(?:\.venv/bin/)(?=ganzoo )|^(?:\$ |[A-Z_]+=\S+ )+", "", line.strip())
        if line.startswith("ganzoo ") and "..." not in line and "…" not in line:
            yield shlex.split(line, comments=True)[1:]


def understood(words):
    """Whether there is such a command with such options; values are not looked at, as many stand for others (N, D)."""
    context = click.Context(cli, info_name="ganzoo")
    command, place = cli, 0
    while isinstance(command, click.Group):
        while place < len(words) and words[place].startswith("-"):
            place += 2 if words[place] == "--plugin" else 1
        if place >= len(words):
            return
        if words[place].isupper():  # stands for a name
            return
        found = command.get_command(context, words[place])
        assert found, f"there is no command {words[place]}"
        command, place = found, place + 1
    parser = command.make_parser(click.Context(command, info_name=command.name))
    parser.parse_args(list(words[place:]))


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_every_command_in_a_recipe_is_one(path):
    for line in path.read_text(encoding="utf-8").splitlines():
        for command in re.findall(r"#.*?\b(ganzoo (?:run|data|translate|evaluate|copy) .*)", line):
            understood(shlex.split(command.split("   ")[0].split(", ")[0], comments=True)[1:])


@pytest.fixture(scope="module")
def scene(tmp_path_factory, images, ganzoo):
    """A folder with all that the pages speak of, and the environment of whoever works there."""
    folder, env = tmp_path_factory.mktemp("scene"), {}
    for name, letter in (("day", "A"), ("night", "B")):
        (folder / "images" / name).mkdir(parents=True)
        for file in (images / f"train{letter}").iterdir():
            Image.open(file).save(folder / "images" / name / file.name)
    shutil.copytree(folder / "images", folder / "pictures")
    for name in ("photos", "holiday"):
        shutil.copytree(images / "testA", folder / name)
    for name in ("photo", "holiday", "face", "large"):
        Image.open(images / "testA" / "0.png").resize((160, 120)).save(folder / f"{name}.jpg")
    for name, (model, options) in TINY.items():
        domains = "" if model == "gan" else 'domains = ["day", "night"]\n'
        (folder / f"{name}.toml").write_text(
            f'model = "{model}"\n[data]\nsource = "folders"\nroot = "images"\n{domains}size = 32\nbatch = 2\n'
            f'[options]\n{options}\n[train]\nimages = 4\nmetrics = ["l1"]\n[quick]\ntrain.images = 2\n'
        )
    shutil.copytree(ROOT / "recipes", folder / "recipes")
    shutil.copy(images / "testA" / "0.png", folder / "frame.png")
    video(folder / "clip.mp4")
    for name, weights in (("latest_net_G", cyclegan()), ("latest_net_G_A", cyclegan()), ("latest_net_G_B", cyclegan())):
        (folder / f"{name}.pth").write_bytes(saved(weights))
    for name, content in stargan(128).items():
        (folder / name).write_bytes(content)
    (folder / "sketchgan.py").write_text(sketchgan(folder / "written", ganzoo))
    (folder / "recipe.toml").write_text(
        'model = "sketchgan"\n[data]\nsource = "folders"\nroot = "images"\ndomains = ["day", "night"]\n[train]\nimages = 2\n'
    )
    for line in (
        *(["run", f"{name}.toml", "--out", f"runs/{name}"] for name in TINY),
        ["sweep", "cyclegan_folders.toml", "--seeds", "2", "--out", "runs/leaderboard/landscapes"],
        ["pack", "runs/cyclegan_folders", "model.safetensors"],
    ):
        done = ganzoo(*line, cwd=folder)
        assert done.returncode == 0, done
    mirror, hub = Mirror(), Hub()
    mirror.files = published()
    (folder / "horse2zebra.pth").write_bytes(mirror.files["/mirror/cyclegan_horse2zebra.pth"])
    env = mirror.env(folder / "cache") | hub.env(folder / "hub")
    assert ganzoo("push", "model.safetensors", "anna/monet", cwd=folder, env=env).returncode == 0
    yield folder, env
    for server in (mirror, hub):
        server.shutdown()
        server.server_close()


def sketchgan(folder, ganzoo):
    """A plugin of one file, of what `ganzoo new plugin` writes."""
    folder.mkdir()
    done = ganzoo("new", "plugin", "sketchgan", "--kind", "unpaired", cwd=folder)
    assert done.returncode == 0, done
    model = next(folder.rglob("model.py")).read_text()
    name = re.search(r"class (\w+)\(Trainer\)", model)[1]
    hook = f'    register("sketchgan", "sketchgan:{name}", data_kind="unpaired")\n'
    return f"{model}\n\nfrom ganzoo import hookimpl\n\n\n@hookimpl\ndef register_models(register):\n{hook}"


def video(path):
    """Three frames."""
    av = pytest.importorskip("av")
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=5)
        stream.width, stream.height, stream.pix_fmt = 48, 32, "yuv420p"
        for grey in (40, 90, 140):
            frame = av.VideoFrame.from_image(Image.new("RGB", (48, 32), (grey, 80, 80)))
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


def staged(words):
    """The words as they are run here."""
    line = shlex.join(words)
    if line in STAND_FOR_COMMAND:
        words = shlex.split(STAND_FOR_COMMAND[line])
    words = [STAND_FOR.get(word, word) for word in words]
    if words[:2] == ["run", "cyclegan_monet"] and not {"--quick", "--data"} & set(words):
        words.append("--quick")  # which needs no download
    if words[0] == "--plugin":
        return [*words, *SMALL]
    if words[0] == "run" and any("recipes/" in word for word in words):
        return [*words, "--dry-run"]
    if (
        words[0] == "run"
        and len(words) > 1
        and not {"--dry-run", "--resume"} & set(words)
        and "cyclegan_folders.toml" not in words
    ):
        return [*words, *(QUICK if "--quick" in words else SMALL)]
    return words


ALREADY = {}  # command -> the page that shows it first
for _page in PAGES:
    for _words in shown(_page):
        ALREADY.setdefault(shlex.join(_words), _page)
WITH_COMMANDS = sorted(set(ALREADY.values()) - {ROOT / "docs" / "tutorial.md"})


@pytest.mark.parametrize("page", WITH_COMMANDS, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_commands_of_a_page(page, scene, start, tmp_path, monkeypatch):
    """In their order, those that no page before has shown, in a copy of the scene."""
    template, env = scene
    folder = tmp_path / "here"
    shutil.copytree(template, folder, symlinks=True)
    monkeypatch.chdir(folder)
    env = env | {"GANZOO_CACHE": str(folder / "cache"), "HF_HOME": str(folder / "hub")}
    for line in [line for line, first in ALREADY.items() if first == page and line not in ELSEWHERE]:
        shown_words = shlex.split(line)
        try:
            understood(shown_words[: shown_words.index(">")] if ">" in shown_words else shown_words)
        except click.UsageError as error:
            pytest.fail(f"{page.name} shows `ganzoo {line}`: {error}")
        words = staged(shown_words)
        if {"--dry-run"} & set(words) or words[0] in AT_ONCE:
            done = CliRunner().invoke(cli, words, env=env)
            assert done.exit_code == 0 or (done.exit_code == 2 and len(shown_words) <= 2), (
                f"{page.name}: ganzoo {line}\n{done.output}"
            )
            continue
        words, output = words[: words.index(">")] if ">" in words else words, words[-1] if ">" in words else None
        process = start(*words, cwd=folder, env=env)
        if words[0] == "demo" and len(words) > 1:
            process.until(lambda process=process: re.search(r"http://\S+", process.so_far.stdout))
            address = re.search(r"http://[\w.:]+", process.so_far.stdout)[0]
            assert urllib.request.urlopen(address).status == 200
            process.send(signal.SIGINT)
            assert process.wait().returncode == 0
            continue
        done = process.wait()
        if output:
            (folder / output).write_text(done.stdout)
        spoken_of = done.returncode == 2 and ("Missing argument" in done.stderr or "Usage:" in done.stderr)
        assert done.returncode == 0 or (spoken_of and len(shown_words) <= 2), f"{page.name}: ganzoo {line}\n{done}"


def test_the_five_minutes_of_the_readme_are_commands():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    minutes = text[text.index("## Five minutes") : text.index("## What you can rely on")]
    typed = [shlex.split(line)[1] for line in minutes.splitlines() if line.startswith("ganzoo ")]
    assert typed == ["translate", "translate", "data", "run", "translate", "evaluate", "pack", "demo"]
