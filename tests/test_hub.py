"""`ganzoo push`, `pull` and `ganzoo.load("user/name")` with a hub on this machine that speaks the protocol of the real one."""

import base64
import hashlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from safetensors.torch import load_file

from ganzoo import hub
from ganzoo.runfolder import RunFolder

pytest.importorskip("huggingface_hub")
TOKEN = "hf_secretsecretsecret"


class Hub(BaseHTTPRequestHandler):
    """Repositories in memory: create, preupload, Git LFS, commit, info, and files by revision."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def answer(self, code, content=b"", headers=None):
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(code)
        for name, value in ({"Content-Length": len(body)} | (headers or {})).items():
            self.send_header(name, str(value))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def handle_any(self):
        content = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        server, path = self.server, self.path.partition("?")[0].strip("/").split("/")
        known = self.headers.get("Authorization") == f"Bearer {TOKEN}"
        server.seen.append((self.command, self.path, content))
        if path[:3] == ["api", "repos", "create"]:
            if not known:
                return self.answer(401, {"error": "Invalid username or password."})
            asked = json.loads(content)
            name = f"{asked['organization']}/{asked['name']}"
            if asked["organization"] != "anna":
                return self.answer(403, {"error": "no rights"})
            if name in server.repos:
                return self.answer(409, {"error": "exists", "url": f"{server.url}/{name}"})
            private = asked.get("private", asked.get("visibility") == "private")
            server.repos[name] = {"private": private, "files": {}}
            return self.answer(200, {"url": f"{server.url}/{name}", "name": name})
        if path[:2] == ["api", "validate-yaml"]:
            return self.answer(200, {"errors": [], "warnings": []})
        if path[0] == "lfs":
            server.stored[path[1]] = content
            return self.answer(200)
        name = "/".join(path[2:4] if path[0] == "api" else path[:2]).removesuffix(".git")
        repo = server.repos.get(name)
        if repo is None or (repo["private"] and not known):
            return self.answer(404, {"error": "Repository not found"}, {"X-Error-Code": "RepoNotFound"})
        if path[0] == "api" and len(path) == 4:
            files = [{"rfilename": file} for file in repo["files"]]
            return self.answer(
                200, {"id": name, "sha": "a" * 40, "private": repo["private"], "siblings": files, "tags": []}
            )
        if path[4:5] == ["preupload"]:
            files = [f["path"] for f in json.loads(content)["files"]]
            modes = [
                {"path": f, "uploadMode": "regular" if f.endswith(".md") else "lfs", "shouldIgnore": False}
                for f in files
            ]
            return self.answer(200, {"files": modes})
        if path[2:] == ["info", "lfs", "objects", "batch"]:
            objects = json.loads(content)["objects"]
            return self.answer(200, {"transfer": "basic", "objects": [
                o | {"actions": {"upload": {"href": f"{server.url}/lfs/{o['oid']}", "header": {}}}} for o in objects
            ]})  # fmt: skip
        if path[4:5] == ["commit"]:
            for line in map(json.loads, content.splitlines()):
                value = line["value"]
                if line["key"] == "file":
                    repo["files"][value["path"]] = base64.b64decode(value["content"])
                elif line["key"] == "lfsFile":
                    assert hashlib.sha256(server.stored[value["oid"]]).hexdigest() == value["oid"]
                    repo["files"][value["path"]] = server.stored[value["oid"]]
            return self.answer(200, {"commitUrl": f"{server.url}/{name}/commit/{'a' * 40}", "commitOid": "a" * 40})
        if path[2:3] == ["resolve"]:
            file = repo["files"].get("/".join(path[4:]))
            if file is None:
                return self.answer(404, {"error": "none"}, {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": "a" * 40})
            return self.answer(200, file, {"ETag": f'"{hashlib.sha256(file).hexdigest()}"', "X-Repo-Commit": "a" * 40})
        server.unknown.append(self.path)
        return self.answer(404, {"error": "what?"})

    do_GET = do_HEAD = do_POST = do_PUT = handle_any


@pytest.fixture(scope="module")
def server():
    made = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    made.url = f"http://127.0.0.1:{made.server_port}"
    made.repos, made.stored, made.seen, made.unknown = {}, {}, [], []
    threading.Thread(target=made.serve_forever, daemon=True).start()
    yield made
    made.shutdown()


@pytest.fixture
def env(server, tmp_path):
    """What a logged-in user's processes have in their environment."""
    return {"HF_ENDPOINT": server.url, "HF_HOME": str(tmp_path / "hf"), "HF_HUB_DISABLE_XET": "1", "HF_TOKEN": TOKEN,
            "HF_HUB_DISABLE_TELEMETRY": "1", "no_proxy": "127.0.0.1"}  # fmt: skip


@pytest.fixture(scope="module")
def pushed(server, run, ganzoo, tmp_path_factory):
    folder = tmp_path_factory.mktemp("pushed")
    env = {"HF_ENDPOINT": server.url, "HF_HOME": str(folder / "hf"), "HF_HUB_DISABLE_XET": "1", "HF_TOKEN": TOKEN}
    done = ganzoo("push", run, "anna/monet", "--licence", "cc-by-4.0", cwd=folder, env=env)
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
