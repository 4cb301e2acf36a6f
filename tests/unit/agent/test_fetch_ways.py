"""By which way an artifact is fetched: through a proxy or not, and after whom."""

import asyncio
import threading
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import artifact_web
import pytest
from artifact_web import ARTIFACT, DIGEST, NAME, Server, digest_of, hang, status, whole
from hostile_archives import archive, member

from tidegate_agent.fetch import FETCHES_AT_ONCE, Patience
from tidegate_agent.releases import Releases
from tidegate_protos.rules import is_loopback

HASTE = Patience(connect_seconds=5, read_seconds=5, first_pause_seconds=0.01)


server = artifact_web.server


@pytest.fixture
def proxy(monkeypatch: pytest.MonkeyPatch) -> object:
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with artifact_web.running() as proxy:
        at = f"http://127.0.0.1:{proxy.server_port}"
        monkeypatch.setenv("http_proxy", at)
        monkeypatch.setenv("https_proxy", at)
        yield proxy


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_this_machine_is_never_asked_through_a_proxy(
    tmp_path: Path, server: Server, proxy: Server, host: str
) -> None:
    url = f"http://{host}:{server.server_port}/{NAME}"
    await Releases(tmp_path, None, HASTE).prepare(DIGEST, len(ARTIFACT), lambda: url)
    assert (server.paths, proxy.paths) == ([f"/{NAME}"], [])


async def test_others_are_asked_through_the_proxy_of_the_environment(
    tmp_path: Path, proxy: Server
) -> None:
    url = "http://artifacts.example/app.tar.gz"
    await Releases(tmp_path, None, HASTE).prepare(DIGEST, len(ARTIFACT), lambda: url)
    assert proxy.paths == [url]


async def test_others_are_asked_directly_where_the_environment_says_so(
    tmp_path: Path, proxy: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("no_proxy", "artifacts.invalid")
    notes: list[str] = []
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.3):
            await Releases(tmp_path, None, HASTE).prepare(
                DIGEST, len(ARTIFACT), lambda: "http://artifacts.invalid/x", note=notes.append
            )
    assert proxy.paths == []


async def test_https_is_asked_through_a_tunnel_of_the_proxy(tmp_path: Path, proxy: Server) -> None:
    notes: list[str] = []
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.5):
            await Releases(tmp_path, None, HASTE).prepare(
                DIGEST, 9, lambda: "https://artifacts.example/x", note=notes.append
            )
    assert proxy.paths[0] == "CONNECT artifacts.example:443"
    assert "Tunnel connection failed: 403" in notes[0]


async def test_a_redirect_from_this_machine_to_another_goes_through_the_proxy(
    tmp_path: Path, server: Server, proxy: Server
) -> None:
    server.answers = [status(302, Location="http://artifacts.example/x")]
    await Releases(tmp_path, None, HASTE).prepare(DIGEST, len(ARTIFACT), server.url)
    assert proxy.paths == ["http://artifacts.example/x"]


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        *(("127.0.0.1:80", True), ("127.9.9.9", True), ("[::1]:80", True), ("localhost:1", True)),
        *(("LOCALHOST", True), ("app.localhost", True), ("10.0.0.1", False), ("[::2]", False)),
        *(("localhost.example", False), ("127.0.0.1.example", False), ("", False)),
    ],
)
def test_what_this_machine_is_called(host: str, expected: bool) -> None:
    assert is_loopback(f"http://{host}/x") is expected


# --- A few at a time -----------------------------------------------------------------------------


async def test_so_many_are_fetched_at_once_over_all_apps_and_the_rest_wait_and_say_so(
    tmp_path: Path, server: Server
) -> None:
    count = FETCHES_AT_ONCE + 2
    artifacts = [archive(member(b"number", b"%d" % number)) for number in range(count)]
    inside, most, lock, free = 0, 0, threading.Lock(), threading.Event()

    def held(data: bytes) -> artifact_web.Answer:
        def answer(handler: BaseHTTPRequestHandler) -> None:
            nonlocal inside, most
            with lock:
                inside += 1
                most = max(most, inside)
            free.wait(5)
            with lock:
                inside -= 1
            whole(data)(handler)

        return answer

    by_path = {f"/{number}": held(data) for number, data in enumerate(artifacts)}
    server.answers = [lambda handler: by_path[handler.path](handler)]
    notes: list[str] = []

    async def prepare(number: int) -> Path:
        data = artifacts[number]
        url = f"http://127.0.0.1:{server.server_port}/{number}"
        releases = Releases(tmp_path / f"app-{number}", None, HASTE)
        return await releases.prepare(digest_of(data), len(data), lambda: url, note=notes.append)

    preparing = asyncio.gather(*map(prepare, range(count)))
    async with asyncio.timeout(5):
        while len(notes) < 2 or inside < FETCHES_AT_ONCE:
            await asyncio.sleep(0.01)
    await asyncio.sleep(0.1)
    free.set()
    assert len(await preparing) == count
    assert most == FETCHES_AT_ONCE
    assert notes == ["waiting: 4 other artifacts are being fetched"] * 2


async def test_one_that_fails_gives_its_place_to_others_while_it_pauses(
    tmp_path: Path, server: Server
) -> None:
    lazy = Patience(first_pause_seconds=60)
    server.answers = [status(503)] * FETCHES_AT_ONCE + [whole()]
    failing = [
        asyncio.create_task(Releases(tmp_path / f"{n}", None, lazy).prepare(DIGEST, 9, server.url))
        for n in range(FETCHES_AT_ONCE)
    ]
    async with asyncio.timeout(5):
        while len(server.asked) < FETCHES_AT_ONCE:
            await asyncio.sleep(0.01)
        await Releases(tmp_path / "app", None, HASTE).prepare(DIGEST, len(ARTIFACT), server.url)
    for task in failing:
        task.cancel()
    await asyncio.wait(failing)


async def test_a_cancelled_fetch_gives_its_place_back(tmp_path: Path, server: Server) -> None:
    server.answers = [hang] * 2 * FETCHES_AT_ONCE + [whole()]
    for _ in range(2):
        tasks = [
            asyncio.create_task(
                Releases(tmp_path / f"{n}", None, HASTE).prepare(DIGEST, 9, server.url)
            )
            for n in range(FETCHES_AT_ONCE)
        ]
        before = len(server.asked)
        async with asyncio.timeout(5):
            while len(server.asked) < before + FETCHES_AT_ONCE:
                await asyncio.sleep(0.01)
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
    async with asyncio.timeout(5):
        await Releases(tmp_path / "app", None, HASTE).prepare(DIGEST, len(ARTIFACT), server.url)
