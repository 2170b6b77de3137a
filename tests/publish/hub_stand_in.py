"""The part of the Hugging Face hub's HTTP that framecast uses, on this machine."""

import base64
import hashlib
import json
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from urllib.parse import unquote

TOKEN = "hf_of_the_tests"


class Hub:
    """Repositories by name: each a list of (commit, files by name), the oldest first.

    Attributes:
        asked: method and path of each request.
        sizes: what it says of the sizes of files, in place of the truth.
        status: answer so to everything.
        hidden: names of the private repositories.
    """

    def __init__(self):
        self.repos, self.asked, self.sizes, self.status = {}, [], {}, None
        self.hidden = set()

    def commit(self, repo, files):
        commits = self.repos.setdefault(repo, [])
        before = commits[-1][1] if commits else {}
        sha = hashlib.sha1(f"{repo}{len(commits)}".encode()).hexdigest()
        commits.append((sha, before | files))
        return sha

    def find(self, repo, revision):
        for sha, files in reversed(self.repos.get(repo, [])):
            if revision in ("main", sha):
                return sha, files
        return None


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def answer(self, status, content=b"", **headers):
        body = json.dumps(content).encode() if isinstance(content, dict) else content
        self.send_response(status)
        for key, value in ({"Content_Length": len(body)} | headers).items():
            self.send_header(key.replace("_", "-"), str(value))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def parts(self):
        self.server.hub.asked.append((self.command, self.path))
        return unquote(self.path).split("?")[0].strip("/").split("/")

    def missing(self, code):
        return self.answer(404, **{"X_Error_Code": code})

    def do_GET(self):
        hub, parts = self.server.hub, self.parts()
        if hub.status:
            return self.answer(hub.status)
        if parts[:2] == ["api", "models"]:
            repo, revision = "/".join(parts[2:4]), "/".join(parts[5:]) or "main"
        elif len(parts) != 5:  # what the library asks for itself
            return self.answer(404)
        else:  # ORG/NAME/resolve/REVISION/FILE
            repo, revision = "/".join(parts[:2]), parts[3]
        if repo not in hub.repos:
            return self.missing("RepoNotFound")
        found = hub.find(repo, revision)
        if found is None:
            return self.missing("RevisionNotFound")
        sha, files = found
        if parts[:2] == ["api", "models"]:
            sizes = {name: hub.sizes.get(name, len(content)) for name, content in files.items()}
            siblings = [{"rfilename": name, "size": size} for name, size in sizes.items()]
            about = {"id": repo, "sha": sha, "siblings": siblings, "private": repo in hub.hidden}
            return self.answer(200, about)
        if parts[4] not in files:
            return self.missing("EntryNotFound")
        content = files[parts[4]]
        etag = f'"{hashlib.sha1(content).hexdigest()}"'
        return self.answer(200, content, ETag=etag, X_Repo_Commit=sha)

    do_HEAD = do_GET

    def do_POST(self):
        hub, parts = self.server.hub, self.parts()
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if hub.status:
            return self.answer(hub.status)
        if parts == ["api", "validate-yaml"]:
            return self.answer(200, {"errors": [], "warnings": []})
        if self.headers.get("Authorization") != f"Bearer {TOKEN}":
            return self.answer(401)
        if parts == ["api", "repos", "create"]:
            asked = json.loads(body)
            repo = f"{asked['organization']}/{asked['name']}"
            hidden = asked.get("private") or asked.get("visibility") == "private"
            if repo not in hub.repos and hidden:
                hub.hidden.add(repo)
            hub.repos.setdefault(repo, [("0" * 40, {})])
            return self.answer(200, {"url": f"http://{self.headers['Host']}/{repo}"})
        repo = "/".join(parts[2:4])
        if parts[4] == "preupload":
            names = [file["path"] for file in json.loads(body)["files"]]
            said = {"uploadMode": "regular", "shouldIgnore": False}
            return self.answer(200, {"files": [{"path": name, **said} for name in names]})
        lines = [json.loads(line) for line in body.splitlines()]
        files = {
            line["value"]["path"]: base64.b64decode(line["value"]["content"])
            for line in lines
            if line["key"] == "file"
        }
        sha = hub.commit(repo, files)
        url = f"http://{self.headers['Host']}/{repo}/commit/{sha}"
        return self.answer(200, {"commitUrl": url, "commitOid": sha, "pullRequestUrl": None})


@contextmanager
def serving(hub):
    """The address of the hub, while it is there."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.hub, server.daemon_threads, server.block_on_close = hub, True, False
        thread = Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()
