"""Published models: from a server on 127.0.0.1 that has files as the authors publish them, and other files, too."""

import hashlib
import json
import os
import pickle
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner
from PIL import Image
from published import NAMES, cut, cyclegan, published, saved, tarred
from servers import Mirror
from torch.nn import functional as F

import ganzoo as package
from ganzoo import pretrained
from ganzoo.checkpoint import load_networks
from ganzoo.cli import cli
from ganzoo.errors import GanzooError, Offline
from ganzoo.pretrained import pull
from ganzoo.registry import registry


@pytest.fixture
def server(tmp_path, monkeypatch):
    """A mirror with the authors' files, and an empty cache."""
    started = Mirror()
    for key, value in started.env(tmp_path / "cache").items():
        monkeypatch.setenv(key, value)
    yield started
    started.shutdown()
    started.server_close()


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
