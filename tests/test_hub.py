"""`ganzoo push`, `pull` and `ganzoo.load("user/name")` with a hub on this machine that speaks the protocol of the real one."""

import json
from pathlib import Path

import pytest
from safetensors.torch import load_file
from servers import TOKEN, Hub

from ganzoo import hub
from ganzoo.runfolder import RunFolder

pytest.importorskip("huggingface_hub")


@pytest.fixture(scope="module")
def server():
    made = Hub()
    yield made
    made.shutdown()
    made.server_close()


@pytest.fixture
def env(server, tmp_path):
    """What a logged-in user's processes have in their environment."""
    return server.env(tmp_path / "hf")


@pytest.fixture(scope="module")
def pushed(server, run, ganzoo, tmp_path_factory):
    folder = tmp_path_factory.mktemp("pushed")
    done = ganzoo("push", run, "anna/monet", "--licence", "cc-by-4.0", cwd=folder, env=server.env(folder / "hf"))
    assert done.returncode == 0, done
    return done


def test_what_is_pushed(server, pushed, run):
    repo = server.repos["anna/monet"]
    assert repo["private"] and repo["files"].keys() == {"model.safetensors", "model.png", "README.md"}
    text = repo["files"]["README.md"].decode()
    assert text.startswith(
        '---\nlicense: "cc-by-4.0"\nlibrary_name: "ganzoo"\npipeline_tag: "image-to-image"\ntags: ["ganzoo"'
    )
    assert "ganzoo translate anna/monet photo.jpg" in text and "(model.png)" in text
    assert repo["files"]["model.png"] == RunFolder(run).sample_grids()[-1].read_bytes()
    assert f"{server.url}/anna/monet can be seen by you alone" in pushed.stdout
    assert TOKEN not in pushed.stdout + pushed.stderr and not server.unknown


def test_what_was_pushed_is_used_by_its_name(server, pushed, env, tmp_path, images, run, ganzoo):
    server.repos["anna/monet"]["files"]["evil.py"] = b"raise SystemExit"
    server.seen.clear()
    for model, out in (("anna/monet", "by-name"), (run, "by-path")):
        done = ganzoo("translate", model, images / "testA", out, cwd=tmp_path, env=env)
        assert done.returncode == 0, done
    for file in (tmp_path / "by-name").iterdir():
        assert file.read_bytes() == (tmp_path / "by-path" / file.name).read_bytes()
    assert {path for _, path, _ in server.seen} == {
        "/api/models/anna/monet",
        *(f"/anna/monet/resolve/main/{name}" for name in ("model.safetensors", "README.md")),
    }
    done = ganzoo("pull", "anna/monet", cwd=tmp_path, env=env)
    assert Path(done.stdout.strip()).read_bytes() == server.repos["anna/monet"]["files"]["model.safetensors"], done
    shown = json.loads(ganzoo("show", "anna/monet", "--json", cwd=tmp_path, env=env).stdout)
    assert shown["left_out"] == ["D"] and "cycle_l1" in shown["metrics"]["A->B"]
    offline = env | {"HF_ENDPOINT": "http://127.0.0.1:9", "HF_HUB_OFFLINE": "1"}
    done = ganzoo("translate", "anna/monet", images / "testA", "offline", cwd=tmp_path, env=offline)
    assert done.returncode == 0, "what is in the cache needs no network"


def test_a_path_that_exists_goes_before(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert hub.is_name("anna/monet") and hub.is_name("Anna_1/mo-net")
    for name in (
        "monet",
        "a/b/c",
        "./monet",
        "../monet",
        "anna/monet.safetensors",
        "anna/",
        "/monet",
        "-a/b",
        "a/mo net",
    ):
        assert not hub.is_name(name), name
    (tmp_path / "anna").mkdir()
    assert not hub.is_name("anna/monet"), "there is a folder anna, so that is a path in it"


@pytest.mark.parametrize(
    ("args", "changes", "words"),
    [
        (("push", "RUN", "anna/new"), {"HF_TOKEN": ""}, ["Pushing to the hub needs a login", "set HF_TOKEN"]),
        (
            ("push", "RUN", "anna/new"),
            {"HF_TOKEN": "hf_wrongwrongwrong"},
            ["refused: it does not know you", "HF_TOKEN"],
        ),
        (("push", "RUN", "bert/new"), {}, ["refused: your token may not do that to bert/new"]),
        (("push", "RUN", "new"), {}, ['"new" is no name on the hub. Write user/name']),
        (("push", "RUN", "anna/open"), {}, ["anna/open is public already", "--public"]),
        (("push", "none", "anna/new"), {}, ["There is no run none"]),
        (("show", "anna/none"), {}, ["There is no model anna/none at http", "or it is private"]),
        (("show", "anna/monet"), {"HF_TOKEN": ""}, ["There is no model anna/monet", "or it is private"]),
        (("show", "anna/open"), {}, ["anna/open", "holds no model.safetensors"]),
        (("show", "anna/monet"), {"HF_ENDPOINT": "http://127.0.0.1:9"}, ["http://127.0.0.1:9 cannot be reached"]),
        (("show", "anna/monet"), {"HF_HUB_OFFLINE": "1"}, ["is not asked, as HF_HUB_OFFLINE is set"]),
    ],
)
def test_mistakes(server, pushed, env, tmp_path, run, ganzoo, args, changes, words):
    server.repos["anna/open"] = {"private": False, "files": {}}
    args = [run if arg == "RUN" else arg for arg in args]
    done = ganzoo(*args, cwd=tmp_path, env=env | changes)
    done.mistake(*words)
    assert "hf_" not in done.stdout + done.stderr.replace("hf_home", "")
    assert server.repos.keys() == {"anna/monet", "anna/open"} and server.repos["anna/open"]["files"] == {}


def test_public_and_half(server, env, tmp_path, run, ganzoo):
    done = ganzoo("push", run, "anna/shared", "--public", "--half", cwd=tmp_path, env=env)
    assert done.returncode == 0 and "can be seen by everybody" in done.stdout, done
    repo = server.repos.pop("anna/shared")
    (tmp_path / "x.safetensors").write_bytes(repo["files"]["model.safetensors"])
    assert not repo["private"] and {str(v.dtype) for v in load_file(tmp_path / "x.safetensors").values()} == {
        "torch.float16"
    }


def test_without_the_extra(tmp_path, env, ganzoo):
    (tmp_path / "site" / "huggingface_hub").mkdir(parents=True)
    (tmp_path / "site" / "huggingface_hub" / "__init__.py").write_text("raise ImportError('not here')")
    done = ganzoo("translate", "anna/monet", "a", "b", cwd=tmp_path, env=env | {"PYTHONPATH": str(tmp_path / "site")})
    done.mistake('pip install "ganzoo[hub]"')
