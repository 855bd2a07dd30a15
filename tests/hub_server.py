"""A Hugging Face hub in memory, on loopback, for huggingface_hub's own client.

It speaks what the client asks for when it creates a repository, commits to it and
downloads from it: upload modes, large files by Git LFS, commits as NDJSON, branches,
listings, and `resolve` with its redirect to a storage on another host. Status codes
and the headers that the client tells errors apart by are those of huggingface.co.

As there, the storage takes signed addresses and refuses a request that carries a token.
"""

import base64
import hashlib
import json
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple
from urllib.parse import unquote, urlsplit


class File(NamedTuple):
    """A file's content, and whether the repository has it or its storage (LFS)."""

    content: bytes
    lfs: bool = False

    @property
    def blob(self) -> str:
        """Git's hash of the blob: of the content, or of the pointer to it."""
        pointer = "version https://git-lfs.github.com/spec/v1\n"
        pointer += f"oid sha256:{self.sha256}\nsize {len(self.content)}\n"
        data = pointer.encode() if self.lfs else self.content
        return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.content).hexdigest()

    @property
    def etag(self) -> str:
        return self.sha256 if self.lfs else self.blob


@dataclass
class Repository:
    """Commits by their hash, branches by their name."""

    private: bool = False
    gated: bool = False
    commits: dict[str, dict[str, File]] = field(default_factory=dict)
    branches: dict[str, str] = field(default_factory=dict)

    def commit(self, files: dict[str, File], branch: str = "main") -> str:
        """Put files on top of a branch; return the commit's hash."""
        before = self.commits.get(self.branches.get(branch), {})
        seed = repr((branch, len(self.commits), files)).encode()
        commit = hashlib.sha1(seed).hexdigest()
        self.commits[commit] = {**before, **files}
        self.branches[branch] = commit
        return commit

    def find(self, revision: str) -> str | None:
        """Return the hash of the commit that a branch or hash names."""
        commit = self.branches.get(revision, revision)
        return commit if commit in self.commits else None


class Hub:
    """A hub with two users, who write into their own repositories, and see them."""

    def __init__(self):
        self.tokens = {"hf_alice": "alice", "hf_bob": "bob"}
        self.repositories: dict[str, Repository] = {}  # by id
        self.stored: dict[str, bytes] = {}  # by sha256
        self.status: int | None = None  # answers every request: 503 is out of order
        self.failing: dict[str, int] = {}  # status codes, by a file's name
        self.cut: set[str] = set()  # files whose next download breaks off
        # Called with the name of each file that is asked for, before it is sent.
        self.on_download: Callable[[str], None] | None = None
        self.requests: list[tuple[str, str, Message]] = []  # method, path, headers
        self._servers = [_serve(self, _Site), _serve(self, _Storage)]
        site, storage = (server.server_port for server in self._servers)
        # Two hosts by name: the client follows redirects to the hub's with its token.
        self.endpoint = f"http://127.0.0.1:{site}"
        self.storage = f"http://localhost:{storage}"

    def add(self, repo_id: str, files: dict[str, bytes], **settings: bool) -> str:
        """Commit files to a repository, made if there is none; return the hash."""
        repository = self.repositories.setdefault(repo_id, Repository(**settings))
        return repository.commit(
            {
                name: File(content, lfs=name.endswith(".safetensors"))
                for name, content in files.items()
            }
        )

    def stop(self) -> None:
        """Refuse every connection from now on."""
        for server in self._servers:
            server.shutdown()
            server.server_close()
        self._servers = []


class Refusal(Exception):
    """An answer that is not a success."""

    def __init__(self, status: int, message: str, code: str = "", **body: object):
        self.status, self.body = status, {"error": message, **body}
        self.headers = {"X-Error-Message": message}
        if code:
            self.headers["X-Error-Code"] = code


def _serve(hub: Hub, handler: type) -> ThreadingHTTPServer:
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.hub = hub
    poll = {"poll_interval": 0.02}  # how long stop() may have to wait
    threading.Thread(target=server.serve_forever, kwargs=poll, daemon=True).start()
    return server


class _Handler(BaseHTTPRequestHandler):
    """Reads requests, finds the method of the route, writes the answer."""

    protocol_version = "HTTP/1.1"
    routes: tuple[tuple[str, str, str], ...] = ()

    def answer(self) -> None:
        self.hub: Hub = self.server.hub
        path = urlsplit(self.path).path
        self.body = self._read()
        self.hub.requests.append((self.command, path, self.headers))
        try:
            if self.hub.status:
                raise Refusal(self.hub.status, "Out of order")
            for methods, pattern, name in self.routes:
                match = re.fullmatch(pattern, path)
                if match and self.command in methods.split():
                    return getattr(self, name)(*map(unquote, match.groups()))
            raise Refusal(404, f"No such address: {self.command} {path}")
        except Refusal as refusal:
            self.send(refusal.status, refusal.body, **refusal.headers)

    do_GET = do_HEAD = do_POST = do_PUT = answer

    def _read(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        body = b""
        while size := int(self.rfile.readline(), 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def send(self, status: int, body: object = b"", **headers: object) -> None:
        """Send bytes, or anything else as JSON."""
        cut = headers.pop("cut", False)
        if not isinstance(body, bytes):
            body = json.dumps(body).encode()
            headers.setdefault("Content_Type", "application/json")
        headers = {"Content_Length": len(body), "Connection": "close", **headers}
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), str(value))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body[: len(body) // 2] if cut else body)
        self.close_connection = True  # so that a stopped hub answers nobody

    def send_content(self, name: str, content: bytes, **headers: object) -> None:
        """Send a file, or the part of it that a Range asks for."""
        if self.command == "GET" and self.hub.on_download:
            self.hub.on_download(name)
        cut = self.command == "GET" and name in self.hub.cut
        self.hub.cut.discard(name) if cut else None
        part = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        if not part:
            return self.send(200, content, cut=cut, **headers)
        start, size = int(part[1]), len(content)
        headers["Content-Range"] = f"bytes {start}-{size - 1}/{size}"
        self.send(206, content[start:], cut=cut, **headers)

    def log_message(self, *_: object) -> None:
        pass


class _Storage(_Handler):
    """Where large files are, by their sha256."""

    routes = (
        ("GET HEAD", "/([0-9a-f]{64})/(.+)", "get"),
        ("PUT", "/([0-9a-f]{64})", "put"),
    )

    def get(self, sha256: str, name: str) -> None:
        self._refuse_tokens()
        self.send_content(name, self.hub.stored[sha256])

    def put(self, sha256: str) -> None:
        self._refuse_tokens()
        if hashlib.sha256(self.body).hexdigest() != sha256:
            raise Refusal(400, "The content has another hash")
        self.hub.stored[sha256] = self.body
        self.send(200)

    def _refuse_tokens(self) -> None:
        if "Authorization" in self.headers:
            raise Refusal(400, "Only one auth mechanism allowed")


class _Site(_Handler):
    """The hub itself."""

    routes = (
        ("POST", "/api/repos/create", "create"),
        ("POST", "/api/validate-yaml", "validate"),
        ("GET", "/api/models/([^/]+/[^/]+)", "info"),
        ("GET", "/api/models/([^/]+/[^/]+)/revision/([^/]+)", "info"),
        ("GET", "/api/models/([^/]+/[^/]+)/tree/([^/]+)", "tree"),
        ("POST", "/api/models/([^/]+/[^/]+)/branch/([^/]+)", "branch"),
        ("POST", "/api/models/([^/]+/[^/]+)/preupload/([^/]+)", "preupload"),
        ("POST", "/api/models/([^/]+/[^/]+)/commit/([^/]+)", "commit"),
        ("POST", r"/([^/]+/[^/]+)\.git/info/lfs/objects/batch", "batch"),
        ("GET HEAD", "/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", "resolve"),
    )

    def user(self) -> str | None:
        """Return whose token was sent; None without one."""
        header = self.headers.get("Authorization")
        if header is None:
            return None
        user = self.hub.tokens.get(header.removeprefix("Bearer "))
        if user is None:
            raise Refusal(401, "Invalid credentials in Authorization header")
        return user

    def repository(self, repo_id: str, write: bool = False) -> Repository:
        """Return a repository, if who asks may see it, or write into it."""
        user, repository = self.user(), self.hub.repositories.get(repo_id)
        owner = repo_id.split("/")[0] == user
        if repository is None or (repository.private and not owner):
            if user is None:  # not telling which of the two it is
                raise Refusal(401, "Invalid username or password.", "RepoNotFound")
            raise Refusal(404, "Repository not found", "RepoNotFound")
        if write and not owner:
            raise Refusal(403, "You don't have the rights to write here")
        return repository

    def files(self, repo_id: str, revision: str) -> tuple[str, dict[str, File]]:
        """Return a commit's hash and files."""
        repository = self.repository(repo_id)
        commit = repository.find(revision)
        if commit is None:
            raise Refusal(404, f"Invalid rev id: {revision}", "RevisionNotFound")
        return commit, repository.commits[commit]

    def create(self) -> None:
        options, user = json.loads(self.body), self.user()
        if user is None:
            raise Refusal(401, "Invalid username or password.")
        owner = options.get("organization") or user
        repo_id = f"{owner}/{options['name']}"
        url = f"{self.hub.endpoint}/{repo_id}"
        if owner != user:
            raise Refusal(403, f"You don't have the rights to create under {owner}")
        if repo_id in self.hub.repositories:
            raise Refusal(409, "You already created this model repo", url=url)
        private = options.get("visibility") == "private"
        private = options.get("private", private)  # as before huggingface_hub 1.0
        self.hub.add(repo_id, {".gitattributes": b""}, private=private)
        self.send(200, {"url": url, "name": repo_id})

    def validate(self) -> None:
        content = json.loads(self.body)["content"]
        warning = {"message": "empty or missing yaml metadata in repo card"}
        warnings = [] if content.startswith("---\n") else [warning]
        if "\t" in content.split("\n---")[0]:
            errors = [{"message": "bad indentation: a tab"}]
            raise Refusal(400, "Invalid YAML", errors=errors, warnings=warnings)
        self.send(200, {"errors": [], "warnings": warnings})

    def info(self, repo_id: str, revision: str = "main") -> None:
        commit, files = self.files(repo_id, revision)
        repository = self.hub.repositories[repo_id]
        siblings = [{"rfilename": path} for path in files]
        body = {"id": repo_id, "sha": commit, "siblings": siblings}
        access = {"private": repository.private, "gated": repository.gated}
        self.send(200, {**body, **access})

    def tree(self, repo_id: str, revision: str) -> None:
        entries = []
        for path, file in self.files(repo_id, revision)[1].items():
            size = len(file.content)
            entry = {"type": "file", "path": path, "oid": file.blob, "size": size}
            if file.lfs:
                entry["lfs"] = {"oid": file.sha256, "size": size, "pointerSize": 130}
            entries.append(entry)
        self.send(200, entries)

    def branch(self, repo_id: str, name: str) -> None:
        repository = self.repository(repo_id, write=True)
        if name in repository.branches:
            raise Refusal(409, "Reference already exists")
        repository.branches[name] = repository.branches["main"]
        self.send(200, {})

    def preupload(self, repo_id: str, revision: str) -> None:
        self.repository(repo_id, write=True)
        there, answers = self.files(repo_id, revision)[1], []
        for file in json.loads(self.body)["files"]:
            path = file["path"]
            mode = "lfs" if path.endswith(".safetensors") else "regular"
            answer = {"path": path, "uploadMode": mode, "shouldIgnore": False}
            if path in there:
                answer["oid"] = there[path].etag
            answers.append(answer)
        self.send(200, {"files": answers})

    def batch(self, repo_id: str) -> None:
        self.repository(repo_id, write=True)
        objects = []
        for entry in json.loads(self.body)["objects"]:
            answer = {"oid": entry["oid"], "size": entry["size"]}
            if entry["oid"] not in self.hub.stored:
                upload = {"href": f"{self.hub.storage}/{entry['oid']}?signature=x"}
                answer["actions"] = {"upload": upload}
            objects.append(answer)
        self.send(200, {"transfer": "basic", "objects": objects})

    def commit(self, repo_id: str, branch: str) -> None:
        repository = self.repository(repo_id, write=True)
        if branch not in repository.branches:
            raise Refusal(404, f"Invalid rev id: {branch}", "RevisionNotFound")
        files = {}
        for line in self.body.splitlines():
            key, value = (json.loads(line)[name] for name in ("key", "value"))
            if key == "file":
                files[value["path"]] = File(base64.b64decode(value["content"]))
            elif key == "lfsFile":
                if value["oid"] not in self.hub.stored:
                    raise Refusal(400, "The large file was not uploaded")
                files[value["path"]] = File(self.hub.stored[value["oid"]], lfs=True)
        oid = repository.commit(files, branch)
        url = f"{self.hub.endpoint}/{repo_id}/commit/{oid}"
        self.send(200, {"success": True, "commitOid": oid, "commitUrl": url})

    def resolve(self, repo_id: str, revision: str, path: str) -> None:
        commit, files = self.files(repo_id, revision)
        if self.hub.repositories[repo_id].gated:
            raise Refusal(403, f"Access to model {repo_id} is restricted", "GatedRepo")
        if path in self.hub.failing:
            raise Refusal(self.hub.failing[path], "Failing")
        if path not in files:
            raise Refusal(404, "Entry not found", "EntryNotFound")
        file, headers = files[path], {"X-Repo-Commit": commit}
        if not file.lfs:
            return self.send_content(
                path, file.content, ETag=f'"{file.etag}"', **headers
            )
        self.hub.stored[file.sha256] = file.content
        headers["X-Linked-Etag"] = f'"{file.etag}"'
        headers["X-Linked-Size"] = len(file.content)
        headers["Location"] = f"{self.hub.storage}/{file.sha256}/{path}?signature=x"
        self.send(302, **headers)
