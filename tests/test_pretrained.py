"""Published models: from a server on 127.0.0.1 that has files as the authors publish them, and other files, too."""

import hashlib
import io
import json
import os
import pickle
import re
import shutil
import ssl
import subprocess
import sys
import tarfile
import threading
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner
from PIL import Image
from torch.nn import functional as F

import ganzoo as package
from ganzoo import pretrained
from ganzoo.checkpoint import load_networks
from ganzoo.cli import cli
from ganzoo.errors import GanzooError, Offline
from ganzoo.pretrained import pull
from ganzoo.registry import registry

LOCALHOST = Path(__file__).with_name("localhost.pem")  # a key and its certificate, of no use elsewhere
NAMES = registry().names("pretrained model")


class Server(ThreadingHTTPServer):
    """Serves files by their paths, over https."""

    daemon_threads = True

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.asked: list[str] = []
        super().__init__(("127.0.0.1", 0), Handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(LOCALHOST)
        self.socket = context.wrap_socket(self.socket, server_side=True)
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        content = self.server.files.get(self.path)
        if content is None:
            return self.send_error(404)
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def server(tmp_path, monkeypatch):
    """A mirror with the authors' files, and an empty cache."""
    started = Server()
    monkeypatch.setenv("GANZOO_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("GANZOO_MIRROR", f"https://127.0.0.1:{started.server_port}/mirror/")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(LOCALHOST))
    yield started
    started.shutdown()
    started.server_close()


def saved(state: object) -> bytes:
    torch.save(state, file := io.BytesIO())
    return file.getvalue()


def noise(*shape: int) -> torch.Tensor:
    return torch.randn(shape) / 8


def resnet(places: tuple[int, ...], w: int = 3, blocks: int = 1) -> dict[str, torch.Tensor]:
    """Convolutions of a residual generator at the places where the authors' files have them."""
    shapes = [
        (w, 3, 7, 7),
        (2 * w, w, 3, 3),
        (4 * w, 2 * w, 3, 3),
        (4 * w, 2 * w, 3, 3),
        (2 * w, w, 3, 3),
        (3, w, 7, 7),
    ]
    state = {f"model.{place}.weight": noise(*shape) for place, shape in zip(places, shapes, strict=True)}
    for i in range(blocks):
        state |= {f"model.{places[2] + (3 if places[1] == 4 and places[2] == 7 else 4) + i}.conv_block.{j}.weight":
                  noise(4 * w, 4 * w, 3, 3) for j in (1, 5)}  # fmt: skip
    biases = {}
    for name, value in state.items():
        transposed = name in (f"model.{places[3]}.weight", f"model.{places[4]}.weight") and places[2] == 7
        biases[name.replace("weight", "bias")] = noise(value.shape[1 if transposed else 0])
    return state | biases


def cyclegan() -> dict[str, torch.Tensor]:
    return resnet((1, 4, 7, 11, 14, 18))


def cut() -> dict[str, torch.Tensor]:
    state = resnet((1, 4, 8, 14, 18, 22))
    for place in ("14", "18"):
        state[f"model.{place}.weight"] = state[f"model.{place}.weight"].transpose(0, 1).contiguous()
        state[f"model.{place}.bias"] = noise(len(state[f"model.{place}.weight"]))
    for place, row, gain in ((7, (1, 2, 1), 1), (11, (1, 2, 1), 1), (13, (1, 3, 3, 1), 4), (17, (1, 3, 3, 1), 4)):
        line = torch.tensor(row).float() / sum(row)
        state[f"model.{place}.filt"] = gain * torch.outer(line, line).expand(6, 1, -1, -1).clone()
    return state


def cyclegan_image(state: dict[str, torch.Tensor], x: torch.Tensor) -> torch.Tensor:
    """What the authors' generator makes of it, layer by layer."""

    def of(name: str) -> tuple[torch.Tensor, torch.Tensor]:
        return state[f"model.{name}.weight"], state[f"model.{name}.bias"]

    def padded(x: torch.Tensor, by: int) -> torch.Tensor:
        return F.pad(x, (by, by, by, by), mode="reflect")

    x = F.instance_norm(F.conv2d(padded(x, 3), *of("1"))).relu()
    for place in ("4", "7"):
        x = F.instance_norm(F.conv2d(x, *of(place), stride=2, padding=1)).relu()
    inside = F.instance_norm(F.conv2d(padded(x, 1), *of("10.conv_block.1"))).relu()
    x = x + F.instance_norm(F.conv2d(padded(inside, 1), *of("10.conv_block.5")))
    for place in ("11", "14"):
        x = F.instance_norm(F.conv_transpose2d(x, *of(place), stride=2, padding=1, output_padding=1)).relu()
    return F.conv2d(padded(x, 3), *of("18")).tanh()


def pix2pix(w: int = 1, depth: int = 8) -> dict[str, torch.Tensor]:
    state, prefix = {}, "model.model."
    widths = [w * min(2**level, 8) for level in range(depth)]

    def norm(name: str, channels: int) -> dict[str, torch.Tensor]:
        values = dict.fromkeys(("weight", "bias", "running_mean"), torch.zeros(channels))
        return {f"{prefix}{name}.{key}": value for key, value in values.items()} | {
            f"{prefix}{name}.running_var": torch.ones(channels)
        }

    for level, width in enumerate(widths):
        inner, before = level == depth - 1, widths[level - 1] if level else 3
        down, up = ("0", "3") if level == 0 else ("1", "3") if inner else ("1", "5")
        state[f"{prefix}{down}.weight"] = noise(width, before, 4, 4)
        state[f"{prefix}{up}.weight"] = noise(width if inner else 2 * width, before, 4, 4)
        if level == 0:
            state[f"{prefix}{up}.bias"] = noise(3)
        else:
            state |= norm("4" if inner else "6", before) | ({} if inner else norm("2", width))
        prefix += "1.model." if level == 0 else "3.model."
    return state


def stargan(size: int) -> dict[str, bytes]:
    g = {"main.0.weight": noise(2, 8, 7, 7), "main.3.weight": noise(4, 2, 4, 4), "main.6.weight": noise(8, 4, 4, 4)}
    g |= {f"main.9.main.{j}.weight": noise(8, 8, 3, 3) for j in (0, 3)}
    g |= {"main.10.weight": noise(8, 4, 4, 4), "main.13.weight": noise(4, 2, 4, 4), "main.16.weight": noise(3, 2, 7, 7)}
    for place, channels in {"1": 2, "4": 4, "7": 8, "9.main.1": 8, "9.main.4": 8, "11": 4, "14": 2}.items():
        values = dict.fromkeys(("weight", "bias", "running_mean", "running_var"), torch.ones(channels))
        g |= {f"main.{place}.{key}": value for key, value in values.items()}
    d = {"conv1.weight": noise(1, 4, 3, 3), "conv2.weight": noise(5, 4, size // 4, size // 4)}
    for place, shape in {0: (2, 3, 4, 4), 2: (4, 2, 4, 4)}.items():
        d |= {f"main.{place}.weight": noise(*shape), f"main.{place}.bias": noise(shape[0])}
    return {"200000-G.ckpt": saved(g), "200000-D.ckpt": saved(d)}


def published() -> dict[str, bytes]:
    """Every file that is published, with small networks, by its path at the mirror."""
    torch.manual_seed(0)
    files = {}
    for name in NAMES:
        each = pretrained.find(name)
        if each.model in ("cyclegan", "pix2pix"):
            content = saved(cyclegan() if each.model == "cyclegan" else pix2pix())
        elif each.model == "stargan":
            with zipfile.ZipFile(zipped := io.BytesIO(), "w") as opened:
                for member, weights in stargan(each.trained_on.size).items():
                    opened.writestr(f"stargan_celeba/models/{member}", weights)
            content = zipped.getvalue()
        else:
            content = tarred({p.members[0]: saved(cut()) for p in map(pretrained.find, NAMES) if p.model == "cut"})
        files[f"/mirror/{each.file}"] = content
    return files


def tarred(members: dict[str, bytes]) -> bytes:
    with tarfile.open(fileobj=(file := io.BytesIO()), mode="w") as opened:
        for name, content in members.items():
            info = tarfile.TarInfo(f"checkpoints/{name}")
            info.size = len(content)
            opened.addfile(info, io.BytesIO(content))
    return file.getvalue()


def test_every_published_model_becomes_a_bundle_once(server, tmp_path):
    assert len(NAMES) == 18 + 5 + 6 + 2
    server.files, said = published(), []
    for name in NAMES:
        known, bundle = pretrained.find(name), pull(name, say=said.append)
        assert bundle == tmp_path / "cache" / "pretrained" / f"{name}.safetensors" and known.name == name
        assert all(url.startswith("https://") for url in known.urls)
        assert registry().matches("importer", known.model)
        translator, facts = package.load(bundle), load_networks(bundle)[1]
        assert translator.recipe.model == known.model and translator.spec.size == known.trained_on.size
        if known.trained_on.labels:
            assert translator.spec.labels == known.trained_on.labels and translator.spec.groups
        else:
            assert translator.directions == [known.trained_on.domains]
        digest = hashlib.sha256(server.files[f"/mirror/{known.file}"]).hexdigest()
        facts = {key: facts[key] for key in ("source", "sha256", "licence", "paper")}
        assert facts == {
            "source": known.urls[0],
            "sha256": digest,
            "licence": known.licence,
            "paper": known.published_in,
        }
        assert any(known.licence in line for line in said) and any(known.published_in in line for line in said)
    assert sorted(server.asked) == sorted(server.files), "each file is downloaded once, those of CUT together"
    assert not [line for line in said if "cannot be used" in line]
    server.files.clear()
    said.clear()
    for name in NAMES:
        package.load(name)
    assert len(server.asked) == len(set(server.asked)) and not said
    assert not list((tmp_path / "cache" / "pretrained").glob(".*.partial"))


def test_the_commands_take_its_name(server, tmp_path, ganzoo):
    torch.manual_seed(0)
    state = cyclegan()
    server.files["/mirror/cyclegan_horse2zebra.pth"] = saved(state)
    Image.effect_noise((50, 30), 60).convert("RGB").save(tmp_path / "photo.png")
    env = {key: os.environ[key] for key in ("GANZOO_CACHE", "GANZOO_MIRROR", "NO_PROXY", "REQUESTS_CA_BUNDLE")}
    first = ganzoo("translate", "horse2zebra", "photo.png", "zebra.png", cwd=tmp_path, env=env)
    assert first.returncode == 0 and "horse to zebra" in first.stdout, first
    for words in ("Zhu et al. 2017", "https://efrosgans.eecs.berkeley.edu/cyclegan/", "BSD licence", "is trusted"):
        assert words in first.stderr, first
    assert Image.open(tmp_path / "zebra.png").size == (50, 30)
    second = ganzoo("translate", "horse2zebra", "photo.png", "again.png", cwd=tmp_path, env=env)
    assert second.returncode == 0 and not second.stderr and len(server.asked) == 1, second
    kept = ganzoo("pull", "horse2zebra", cwd=tmp_path, env=env)
    assert kept.stdout == f"{tmp_path}/cache/pretrained/horse2zebra.safetensors\n" and not kept.stderr
    ganzoo("translate", "horse2zebra", "photo.png", "h.png", "--to", "horse", cwd=tmp_path, env=env).mistake(
        'cannot translate to "horse"', "It knows: zebra"
    )
    ganzoo("evaluate", "horse2zebra", cwd=tmp_path, env=env).mistake("horse2zebra is a file of weights alone", "--data")
    translator, x = package.load("ganzoo-cyclegan/horse2zebra"), torch.rand(2, 3, 32, 40) * 2 - 1
    theirs = cyclegan_image(state, x)
    torch.testing.assert_close(translator.translate_tensor(x, "horse", "zebra"), theirs, atol=1e-6, rtol=0)


def test_a_path_goes_before_a_name(server, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    server.files["/mirror/cyclegan_horse2zebra.pth"] = saved(cyclegan())
    shutil.copy(pull("horse2zebra", say=len), tmp_path / "style_monet")
    assert package.load("style_monet").directions == [("horse", "zebra")]
    (tmp_path / "sat2map").mkdir()
    (tmp_path / "map2sat").symlink_to("nowhere")
    for name in ("sat2map", "map2sat"):
        with pytest.raises(GanzooError, match=r"not a run folder|There is no run"):
            package.load(name)
    assert len(server.asked) == 1


@pytest.mark.parametrize(("name", "near"), [("horse2zebr", "horse2zebra"), ("sat2maps", "sat2map")])
def test_unknown_names(server, name, near):
    with pytest.raises(GanzooError, match=f'There is no run {name}.* Did you mean "{near}"'):
        package.load(name)
    with pytest.raises(GanzooError, match=f'no pretrained model "{name}".* Did you mean "{near}"'):
        pull(name)
    assert not server.asked


def test_another_file_than_the_first_time(server, tmp_path):
    first, second = saved(cyclegan()), saved(cyclegan())
    server.files["/mirror/cyclegan_sat2map.pth"], said = first, []
    bundle = pull("sat2map", say=said.append)
    record = tmp_path / "cache" / "pretrained" / "cyclegan_sat2map.pth.sha256"
    digests = [hashlib.sha256(content).hexdigest() for content in (first, second)]
    assert record.read_text() == digests[0] and digests[0] in said[-1] and "no published checksum" in said[-1]
    server.files["/mirror/cyclegan_sat2map.pth"] = second
    assert pull("sat2map", say=said.append) == bundle and len(server.asked) == 1
    bundle.write_bytes(bundle.read_bytes()[:100])  # damaged, so it is made again
    with pytest.raises(
        GanzooError, match=f"{digests[1]}.*expected sha256 {digests[0]}.*delete {re.escape(str(record))} if"
    ):
        pull("sat2map", say=said.append)
    record.unlink()
    assert package.load(pull("sat2map", say=said.append)).directions == [("aerial", "map")]
    assert "was moved to" in "".join(said), "nothing is deleted that may be somebody's"


class Evil:
    def __reduce__(self):
        return Path.touch, (Path(os.environ["EVIL"]),)


@pytest.mark.parametrize(
    "spoil", [lambda x: pickle.dumps(x, 2), saved, lambda x: pickle.dumps(x, 0), lambda x: saved({"a": x})]
)
def test_a_pickle_that_would_run_code_is_refused_unrun(server, tmp_path, monkeypatch, spoil):
    monkeypatch.setenv("EVIL", str(tmp_path / "run"))
    pickle.loads(pickle.dumps(Evil()))
    (tmp_path / "run").unlink()  # so it is a real one
    server.files["/mirror/cyclegan_horse2zebra.pth"] = spoil(Evil())
    with pytest.raises(GanzooError, match="holds no plain weights, so it is not loaded"):
        package.load("horse2zebra")
    server.files["/mirror/cut_pretrained_models.tar"] = tarred(
        {"horse2zebra_cut_pretrained/latest_net_G.pth": spoil(Evil())}
    )
    with pytest.raises(GanzooError, match="holds no plain weights, so it is not loaded"):
        pull("cut_horse2zebra", say=len)
    assert not (tmp_path / "run").exists()
    assert not [path for path in (tmp_path / "cache" / "pretrained").iterdir() if path.suffix != ".lock"], (
        "nothing is kept"
    )


def test_an_archive_that_lacks_some(server, tmp_path):
    server.files["/mirror/cut_pretrained_models.tar"] = tarred(
        {
            "horse2zebra_cut_pretrained/latest_net_G.pth": saved(cut()),
            "cat2dog_cut_pretrained/latest_net_G.pth": saved(cyclegan()),
        }
    )
    said = []
    assert package.load(pull("cut_horse2zebra", say=said.append)).directions == [("horse", "zebra")]
    assert sum("which came with it, cannot be used" in line for line in said) == 5
    with pytest.raises(GanzooError, match=r"holds no cityscapes_cut_pretrained/latest_net_G\.pth"):
        pull("cut_cityscapes", say=said.append)


def test_without_a_network(server, tmp_path, monkeypatch):
    monkeypatch.setenv("GANZOO_MIRROR", "https://127.0.0.1:9")
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    with pytest.raises(
        Offline, match=r"cannot be reached.*or download the file by hand and run `ganzoo pull horse2zebra --file"
    ):
        pull("horse2zebra", say=len)
    (tmp_path / "mine.pth").write_bytes(saved(cyclegan()))
    bundle = pull("horse2zebra", tmp_path / "mine.pth", say=len)
    assert not list(bundle.parent.glob("*.sha256")), "what was not downloaded is not recorded as trusted"
    assert package.load("horse2zebra").directions == [("horse", "zebra")]
    with pytest.raises(GanzooError, match="There is no file"):
        pull("zebra2horse", tmp_path / "nothing.pth", say=len)


def test_the_list(server, tmp_path, ganzoo, plugin):
    init = """
from ganzoo import hookimpl


@hookimpl
def register_pretrained(register):
    register("odd2even", "ganzoo_odd:NO")
"""
    env = plugin(tmp_path / "site", "odd", {"__init__": init})
    listed = ganzoo("pretrained", cwd=tmp_path, env=env)
    assert listed.returncode == 0 and "horses into zebras" in listed.stdout and "arXiv:1703.10593" in listed.stdout
    assert 'broken The pretrained model "odd2even" of ganzoo-odd 0.5 does not load' in listed.stdout
    rows = {row["name"]: row for row in json.loads(ganzoo("pretrained", "--json", cwd=tmp_path).stdout)}
    assert list(rows) and sorted(rows) == NAMES
    assert rows["edges2shoes"]["model"] == "pix2pix" and rows["edges2shoes"]["MB"] == 218
    assert all(rows["stargan_celeba_128"][key] for key in ("summary", "paper", "licence", "urls", "labels", "package"))
    shown = ganzoo("show", "style_monet", cwd=tmp_path).stdout
    assert "photographs into paintings by Monet" in shown and "style_monet.pth" in shown and "BSD" in shown
    code = "import sys; from ganzoo.cli.pretrained import catalogue; assert catalogue()[0]; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
    assert not server.asked


def test_a_package_publishes_a_bundle(server, tmp_path, plugin, known, run):
    """What `ganzoo pack` writes, with its checksum, of a model that has no importer of these names."""
    done = CliRunner().invoke(cli, ["pack", str(run), str(tmp_path / "foxes.safetensors")])
    assert done.exit_code == 0, done
    content = (tmp_path / "foxes.safetensors").read_bytes()
    init = """
from ganzoo import hookimpl


@hookimpl
def register_pretrained(register):
    register("day2fox", "ganzoo_foxes.published:FOX", summary="days into foxes", model="cyclegan")
    register("day2cut", "ganzoo_foxes.published:CUT", summary="not what it says", model="cut")
"""
    published = f"""
from ganzoo import Pretrained

FACTS = dict(urls=("http://127.0.0.1:9/foxes.safetensors",), licence="CC BY 4.0.", parameters=1)
FOX = Pretrained(name="day2fox", model="cyclegan", sha256="{hashlib.sha256(content).hexdigest()}", **FACTS)
CUT = Pretrained(name="day2cut", model="cut", sha256=FOX.sha256, **FACTS)
"""
    plugin(tmp_path / "site", "foxes", {"__init__": init, "published": published})
    known(tmp_path / "site")
    server.files["/mirror/foxes.safetensors"] = content
    ours, theirs = package.load("day2fox", say=len), package.load(run)
    assert ours.directions == theirs.directions and ours.images == theirs.images
    x = torch.rand(1, 3, 32, 32) * 2 - 1
    assert torch.equal(ours.translate_tensor(x, "A", "B"), theirs.translate_tensor(x, "A", "B"))
    facts = load_networks(pull("day2fox"))[1]
    assert facts["licence"] == "CC BY 4.0." and facts["source"] == "http://127.0.0.1:9/foxes.safetensors"
    with pytest.raises(GanzooError, match='holds the model "cyclegan", not "cut"'):
        pull("day2cut", say=len)
    server.files["/mirror/foxes.safetensors"] = content[:-9] + b"different"
    pull("day2fox").unlink()
    with pytest.raises(GanzooError, match=r"expected sha256 .*Get it again from"):
        pull("day2fox", say=len)
