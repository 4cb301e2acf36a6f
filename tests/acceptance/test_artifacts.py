"""Artifacts of every kind, given in every way that the README names: deployed, pushed, listed."""

import hashlib
import io
import tarfile
import threading
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from backports import zstd
from desk import AppFolder, Desk

NOBODY = "127.0.0.1:9"


class Web(ThreadingHTTPServer):
    """Serves `files` by path; /moved/X leads to /X. `asked` has who asked for what."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.files: dict[str, bytes] = {}
        self.asked: list[str] = []

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.server_port}{path}"


class Handler(BaseHTTPRequestHandler):
    server: Web

    def do_GET(self) -> None:
        self.server.asked.append(f"{self.headers['User-Agent']} {self.command} {self.path}")
        path = self.path.partition("?")[0]
        data = self.server.files.get(path)
        if path.startswith("/moved/"):
            self.send_response(302)
            self.send_header("Location", path.removeprefix("/moved"))
            data = b""
        else:
            self.send_response(404 if data is None else 200)
        self.send_header("Content-Length", str(len(data or b"")))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(data or b"")

    do_HEAD = do_GET

    def log_message(self, *_: object) -> None:
        """Quiet."""


@pytest.fixture
def web() -> Iterator[Web]:
    with Web() as web:
        threading.Thread(target=web.serve_forever, args=(0.02,), daemon=True).start()
        yield web
        web.shutdown()


def digest_of(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def packed(app: AppFolder, version: str, form: str, folder: str = "") -> Path:
    """The release in this format, perhaps with a folder around everything."""
    app.build(version)
    artifact = app.folder / f"{app.name}-{version}{form}"
    names = ("serve.py", "release.json")
    if form == ".zip":
        with zipfile.ZipFile(artifact, "w", zipfile.ZIP_DEFLATED) as archive:
            for name in names:
                archive.write(app.folder / name, folder + name)
        return artifact
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w:gz" if form == ".tar.gz" else "w") as tar:
        for name in names:
            tar.add(app.folder / name, folder + name)
    data = made.getvalue()
    artifact.write_bytes(zstd.compress(data) if form == ".tar.zst" else data)
    return artifact


def release(desk: Desk, app: AppFolder, version: str) -> dict[str, Any]:
    """Its line of `release list`."""
    listed = desk.type("release", "list", app.name, "--json").json["releases"]
    (found,) = (each for each in listed if each["version"] == version)
    return dict(found)


# --- Formats -------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", [".tar", ".tar.gz", ".tar.zst", ".zip"])
def test_every_format_is_deployed_with_or_without_a_folder_around_it(desk: Desk, form: str) -> None:
    app = desk.app(f"form{form}".replace(".", "-"))
    for version, folder in (("1", ""), ("2", "app-2/")):
        answer = desk.type(*app.words(version, packed(app, version, form, folder)), cwd=app.folder)
        assert answer.code == 0, answer
        app.assert_serving(version)


def test_a_folder_around_everything_stays_where_the_configuration_says_so(desk: Desk) -> None:
    command = ["python3", "app-1/serve.py", "--port", "{port}"]
    app = desk.app("folder-stays", service={"command": command}, artifact={"strip_components": 0})
    artifact = packed(app, "1", ".zip", "app-1/")
    answer = desk.type(*app.words("1", artifact), cwd=app.folder)
    assert answer.code == 0, answer
    app.assert_serving("1")


# --- By URL --------------------------------------------------------------------------------------


def test_a_url_without_a_digest_is_fetched_once_by_the_controller(desk: Desk, web: Web) -> None:
    app = desk.app("by-url", nodes={"role": "web"})
    data = packed(app, "1", ".tar.gz").read_bytes()
    web.files["/app.tar.gz"] = data
    url = web.url("/moved/app.tar.gz?token=hidden")
    words = ["deploy", "--artifact", url, "--version", "1"]
    answer = desk.type(*words, cwd=app.folder)
    assert answer.code == 0, answer
    app.assert_serving("1")
    assert [asked.split()[0] for asked in web.asked] == ["tidegate-controller"] * 2
    listed = release(desk, app, "1")
    assert (listed["digest"], listed["stored"]) == (digest_of(data), True)
    assert listed["url"] == web.url("/moved/app.tar.gz")
    assert "hidden" not in answer.out + answer.err
    assert "hidden" not in desk.type("log", "--json").out


def test_a_url_with_a_digest_is_fetched_by_the_agents_themselves(desk: Desk, web: Web) -> None:
    app = desk.app("by-digest", nodes={"role": "web"})
    data = packed(app, "1", ".tar.zst").read_bytes()
    web.files["/app.tar.zst"] = data
    url = web.url("/app.tar.zst")
    words = ["deploy", "--artifact", url, "--digest", digest_of(data), "--version", "1"]
    answer = desk.type(*words, cwd=app.folder)
    assert answer.code == 0, answer
    app.assert_serving("1")
    assert sorted(web.asked) == [
        "tidegate-agent GET /app.tar.zst",
        "tidegate-agent GET /app.tar.zst",
        "tidegate-controller HEAD /app.tar.zst",
    ]
    listed = release(desk, app, "1")
    assert (listed["stored"], listed["url"], listed["size_bytes"]) == (False, url, len(data))


def test_what_has_another_digest_than_said_is_unpacked_nowhere(desk: Desk, web: Web) -> None:
    app = desk.app("other-digest")
    web.files["/app.zip"] = packed(app, "1", ".zip").read_bytes()
    wrong = "sha256:" + "0" * 64
    words = ["deploy", "--artifact", web.url("/app.zip"), "--digest", wrong, "--version", "1"]
    answer = desk.type(*words, cwd=app.folder)
    assert answer.code == 1
    assert f"not {wrong}; nothing was unpacked" in answer.out
    assert list(desk.folder.glob("nodes/*/apps/other-digest/releases/*")) == []
    pushed = desk.type("release", "push", *words[1:5], cwd=app.folder)
    assert (pushed.code, pushed.out) == (2, "")
    assert f"has the digest {digest_of(web.files['/app.zip'])}, not {wrong}" in pushed.err


def test_a_hostile_archive_is_refused_by_its_member_and_nothing_is_unpacked(
    desk: Desk, web: Web
) -> None:
    """By URL, since a file is refused before it is sent."""
    app = desk.app("hostile").deployed("1")
    releases = desk.folder / "nodes" / "web-1" / "apps" / app.name / "releases"
    before = sorted(path.name for path in releases.iterdir())
    artifact = packed(app, "2", ".tar")
    with tarfile.open(artifact, "a") as archive:
        archive.addfile(tarfile.TarInfo("../../escaped"))
    web.files["/app.tar"] = artifact.read_bytes()
    words = ["deploy", "--artifact", web.url("/app.tar"), "--version", "2"]
    answer = desk.type(*words, cwd=app.folder)
    assert answer.code == 1
    reason = "Prepare failed: web-1/green: member '../../escaped' has '..' in its path"
    assert reason in answer.out
    assert (app.newest()["state"], app.newest()["reason"]) == ("rolled_back", reason)
    assert sorted(path.name for path in releases.iterdir()) == before
    assert not list(desk.folder.rglob("escaped"))
    app.assert_serving("1")


def test_what_is_not_there_is_said_and_nothing_is_begun(desk: Desk, web: Web) -> None:
    app = desk.app("not-there")
    for more in ([], ["--digest", "sha256:" + "0" * 64]):
        words = ["deploy", "--artifact", web.url("/none.zip"), "--version", "1", *more]
        answer = desk.type(*words, cwd=app.folder)
        assert (answer.code, answer.out) == (2, "")
        assert f"{web.url('/none.zip')} answered 404" in answer.err
    assert app.rollouts() == []
    assert app.traces() == []


def test_a_page_in_place_of_an_archive_is_refused_before_anything_is_begun(
    desk: Desk, web: Web
) -> None:
    app = desk.app("a-page")
    for page in (b"<html>sign in</html>", b"<html>" + b" " * 5000 + b"</html>"):
        web.files["/app.zip"] = page
        words = ["deploy", "--artifact", web.url("/app.zip"), "--version", "1"]
        answer = desk.type(*words, cwd=app.folder)
        assert (answer.code, answer.out) == (2, "")
        said = " ".join(answer.err.split())
        assert f"the artifact {web.url('/app.zip')} is a text file (it begins '<html>" in said
    assert app.rollouts() == []
    assert list((desk.folder / "controller").rglob(".*.part")) == []


def test_a_server_that_does_not_answer_is_the_networks_trouble(desk: Desk) -> None:
    app = desk.app("no-server")
    words = ["deploy", "--artifact", "http://127.0.0.1:9/a.zip", "--version", "1"]
    answer = desk.type(*words, cwd=app.folder)
    assert (answer.code, answer.out) == (1, "")
    assert (
        "error: cannot fetch http://127.0.0.1:9/a.zip: nobody answers at 127.0.0.1:9 (Connection "
        "refused)" in " ".join(answer.err.split())
    )


# --- Pushed and listed ---------------------------------------------------------------------------


def test_what_was_pushed_is_deployed_later_by_its_digest(desk: Desk) -> None:
    app = desk.app("pushed")
    artifact = packed(app, "7", ".tar")
    digest = digest_of(artifact.read_bytes())
    words = ["release", "push", "--artifact", str(artifact), "--version", "7"]
    answer = desk.type(*words, cwd=app.folder)
    assert (answer.code, answer.out) == (0, f"{digest}\n")
    assert f"  next: tidegate deploy --artifact {digest} --version 7" in answer.err
    listed = release(desk, app, "7")
    assert (listed["state"], listed["environment"], listed["stored"]) == ("pushed", None, True)
    again = desk.type(*words, "--json", cwd=app.folder).json
    assert again == {
        "digest": digest,
        "size_bytes": artifact.stat().st_size,
        "app": "pushed",
        "version": "7",
    }
    artifact.unlink()
    shortened = f"{digest[:17]}..."  # as a list on a narrow terminal has it
    deployed = desk.type("deploy", "--artifact", shortened, "--version", "7", cwd=app.folder)
    assert deployed.code == 0, deployed
    app.assert_serving("7")
    listed = release(desk, app, "7")
    assert (listed["state"], listed["environment"]) == ("active", "test")
    assert [place.partition("/")[0] for place in listed["active_on"]] == ["web-1"]


def test_the_list_says_which_release_is_where(desk: Desk) -> None:
    app = desk.app("listed").deployed("1").deployed("2")
    assert app.deploy("3", exits_at_once=True).code == 1
    listed = desk.type("release", "list", "listed", "--json").json["releases"]
    assert [(each["version"], each["state"]) for each in listed] == [
        ("3", "undone"),
        ("2", "active"),
        ("1", "former"),
    ]
    table = desk.type("release", "list", "listed").out.splitlines()
    assert table[0].split()[:4] == ["RELEASE", "APP", "STATE", "ACTIVE"]
    assert "web-1" in table[2]
    assert all("listed@test" in line for line in table[1:])
    assert [line.split()[-1] for line in table[1:]] == [each["digest"] for each in listed]
    unknown = desk.type("release", "list", "nobodys")
    assert (unknown.code, unknown.out) == (2, "")
    assert "there is no release of nobodys" in unknown.err


def test_a_digest_that_the_controller_does_not_have_is_said(desk: Desk) -> None:
    app = desk.app("unknown-digest")
    words = ["deploy", "--artifact", "sha256:" + "1" * 64, "--version", "1"]
    answer = desk.type(*words, cwd=app.folder)
    assert (answer.code, answer.out) == (2, "")
    assert "the controller has no artifact sha256:1111" in answer.err
    assert "  next: what it has: tidegate release list" in answer.err
    words[2] = "1" * 10
    answer = desk.type(*words, cwd=app.folder)
    assert (answer.code, answer.out) == (2, "")
    assert "the controller has no artifact whose digest begins with 1111111111" in answer.err


# --- Looked at before anything is sent -----------------------------------------------------------


def refusal(app: AppFolder, artifact: str, *more: str) -> str:
    words = ["deploy", "--artifact", artifact, "--version", "1", *more]
    answer = app.desk.type(*words, cwd=app.folder, TIDEGATE_CONTROLLER=NOBODY)
    assert (answer.code, answer.out) == (2, ""), answer
    return answer.err


@pytest.mark.parametrize(
    ("url", "found"),
    [
        ("ftp://example.org/a.zip", "is not http or https"),
        ("https://ann:secret@example.org/a.zip", "has a user or password in it"),
        ("https://example.org/a b.zip", "is malformed"),
    ],
)
def test_an_address_that_nobody_could_fetch_is_refused(
    tmp_path: Path, url: str, found: str
) -> None:
    said = refusal(Desk(tmp_path).app("shop"), url)
    assert f"error: the artifact's address {found}" in said
    assert "secret" not in said


def test_a_file_that_has_another_digest_than_said_is_not_sent(tmp_path: Path) -> None:
    app = Desk(tmp_path).app("shop")
    said = refusal(app, str(app.build("1")), "--digest", "sha256:" + "0" * 64)
    assert f"not sha256:{'0' * 64}" in said
    assert "nothing was sent" in said


def test_what_is_no_digest_is_a_wrong_word(tmp_path: Path) -> None:
    app = Desk(tmp_path).app("shop")
    assert "is not sha256: and 64 digits" in refusal(app, "a.zip", "--digest", "md5:1")


def cut(data: bytes) -> bytes:
    return data[: len(data) // 2]


def encrypted(data: bytes) -> bytes:
    """With the flag of it, in every header of a zip."""
    return data.replace(b"\x14\0\0\0\x08\0", b"\x14\0\x01\0\x08\0")


@pytest.mark.parametrize(
    ("form", "change", "found"),
    [
        (".tar", cut, "the archive ends early, inside member 'serve.py'"),
        (".tar.gz", cut, "its gzip data are truncated"),
        (".tar.zst", cut, "its zstd data are truncated"),
        (".zip", cut, "it has no directory at its end"),
        (".zip", encrypted, "member 'serve.py' is encrypted"),
        (".tar.zst", lambda _: zstd.compress(b"just a log\n" * 99), "is a lone .zst: no tar"),
        (".tar.gz", lambda _: b"#!/bin/sh\n", "is a text file (it begins '#!/bin/sh"),
        (".tar.gz", lambda _: b"\xfd7zXZ\0" + bytes(99), "is an xz file"),
        (".zip", lambda _: b"PK\x05\x06" + bytes(18), "the archive holds no files"),
        (".tar", lambda _: bytes(10240), "is nothing but zeros, or an empty tar archive"),
    ],
)
def test_what_is_no_whole_archive_is_refused_in_words(
    tmp_path: Path, form: str, change: Any, found: str
) -> None:
    app = Desk(tmp_path).app("shop")
    artifact = packed(app, "1", form)
    artifact.write_bytes(change(artifact.read_bytes()))
    said = refusal(app, str(artifact))
    assert str(artifact) in said
    assert found in said
    assert "an artifact is a .tar.gz, .tar.zst, .tar or .zip: tar czf" in said
    assert ("  next: build it again, or copy it again" in said) == ("cannot be unpacked" in said)
