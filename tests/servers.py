"""Servers on 127.0.0.1: one of files by https, and a hub that speaks the protocol of the real one."""

import base64
import hashlib
import json
import ssl
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

LOCALHOST = Path(__file__).with_name("localhost.pem")  # a key and its certificate, of no use elsewhere
TOKEN = "hf_secretsecretsecret"


class Mirror(ThreadingHTTPServer):
    """Serves files by their paths, over https."""

    daemon_threads = True

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.asked: list[str] = []
        super().__init__(("127.0.0.1", 0), _Files)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(LOCALHOST)
        self.socket = context.wrap_socket(self.socket, server_side=True)
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()

    def env(self, cache: Path) -> dict[str, str]:
        """Of processes that take it for where models are published."""
        return {
            "GANZOO_CACHE": str(cache),
            "GANZOO_MIRROR": f"https://127.0.0.1:{self.server_port}/mirror/",
            "NO_PROXY": "127.0.0.1",
            "REQUESTS_CA_BUNDLE": str(LOCALHOST),
        }


class _Files(BaseHTTPRequestHandler):
    server: Mirror

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


class Hub(ThreadingHTTPServer):
    """Repositories in memory, to which TOKEN may write those of the user anna."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Protocol)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.repos, self.stored, self.seen, self.unknown = {}, {}, [], []
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()

    def env(self, home: Path) -> dict[str, str]:
        """Of a logged-in user's processes."""
        return {
            "HF_ENDPOINT": self.url,
            "HF_HOME": str(home),
            "HF_TOKEN": TOKEN,
            "HF_HUB_DISABLE_XET": "1",
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "no_proxy": "127.0.0.1",
        }


class _Protocol(BaseHTTPRequestHandler):
    """Create, preupload, Git LFS, commit, info, and files by revision."""

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
