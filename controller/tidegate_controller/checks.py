"""Checks of the operator's, put from here once the new release has traffic. Called by `effects`.

A check passes, fails, or gives no verdict, which is never taken for a pass: it is asked again until
its deadline, and then a person is. What a program is given and has to answer: docs/failures.md.
"""

import asyncio
import shlex
import shutil
from collections.abc import Awaitable, Callable, Mapping

import aiohttp

from tidegate_controller import leashed
from tidegate_controller.core import types as t
from tidegate_controller.core.facts import place_of, split_stream
from tidegate_controller.core.spec import Check
from tidegate_controller.errors import AskPerson, CheckFailed
from tidegate_controller.proof import beginning
from tidegate_protos.rules import status_range, without_query

PASS, FAIL = 0, 1  # exit codes of a program; any other is no verdict
NOT_NOW = (408, 425, 429, 502, 503, 504)  # answers of one who cannot say at the moment
SHOWN_CHARS = 200


class NoVerdict(Exception):
    """Nobody can say whether the release is good; why."""

    def __init__(self, why: str, output_tail: str = "") -> None:
        super().__init__(why)
        self.output_tail = output_tail


async def ask(check: Check, name: str, variables: Mapping[str, str]) -> None:
    """Put the check once; return when it passes. Raises `CheckFailed` or `NoVerdict`. `name`: for
    those who put one in another way."""
    if check.http:
        await _request(check)
    else:
        await _program(check, variables)


Ask = Callable[[Check, str, Mapping[str, str]], Awaitable[None]]


async def run(stream: str, state: t.State, name: str, put: Ask = ask) -> None:
    """Return when the check has passed. Raises `CheckFailed`, or `AskPerson` without a verdict.
    `put`: what asks once, as `ask` does."""
    rollout = state.rollout
    assert rollout is not None
    check = rollout.spec.checks[name]
    loop = asyncio.get_running_loop()
    deadline = loop.time() + check.deadline_seconds
    while True:
        try:
            await put(check, name, _variables(stream, state, rollout))
        except NoVerdict as unsure:
            if loop.time() + check.every_seconds >= deadline:
                raise AskPerson(f"the check {name} gave no verdict: {unsure}") from unsure
            await asyncio.sleep(check.every_seconds)
        else:
            return


def _variables(stream: str, state: t.State, rollout: t.Rollout) -> dict[str, str]:
    app, environment = split_stream(stream)
    revision = rollout.release.revision
    taking = [place for place, share in state.settled.items() if share]
    done = {place.node for place in taking if place_of(state, place).revision == revision}
    return {
        "TIDEGATE_APP": app,
        "TIDEGATE_ENVIRONMENT": environment,
        "TIDEGATE_ROLLOUT": rollout.id,
        "TIDEGATE_VERSION": rollout.release.version,
        "TIDEGATE_DIGEST": rollout.release.revision.digest,
        "TIDEGATE_PREVIOUS": rollout.previous.version if rollout.previous else "",
        "TIDEGATE_NODES": " ".join(rollout.standing),
        "TIDEGATE_DONE_NODES": " ".join(node for node in rollout.standing if node in done),
    }


async def _program(check: Check, variables: Mapping[str, str]) -> None:
    shown = shlex.quote(check.command[0])[:SHOWN_CHARS]  # the rest of the line may hold a secret
    if shutil.which(check.command[0]) is None:
        raise NoVerdict(f"there is no program {check.command[0]!r} that may be run here")
    try:
        ended = await leashed.run(check.command, check.timeout_seconds, variables=variables)
    except TimeoutError:
        raise NoVerdict(f"{shown} did not end within {check.timeout_seconds:g} s") from None
    except OSError as error:
        raise NoVerdict(f"cannot run {shown}: {error.strerror}") from error
    if ended.code == PASS:
        return
    said = leashed.text(ended.answer[-leashed.TAIL_BYTES :] + ended.said)
    last = leashed.last_line(ended.said) or leashed.last_line(ended.answer)
    why = f"{shown} exited with {ended.code}" + (f"; it said: {last}" if last else "")
    if ended.code == FAIL:
        raise CheckFailed(why, output_tail=said)
    raise NoVerdict(why, said)


async def _request(check: Check) -> None:
    shown = without_query(check.http)
    timeout = aiohttp.ClientTimeout(total=check.timeout_seconds)
    headers = {"User-Agent": "tidegate-controller"}
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout, headers=headers) as session,
            session.get(check.http, allow_redirects=False) as answer,
        ):
            body = (await beginning(answer)).decode(errors="replace")
    except (TimeoutError, aiohttp.ClientError, OSError) as error:
        raise NoVerdict(f"{shown} did not answer: {_in_words(error)[:SHOWN_CHARS]}") from error
    wanted = any(answer.status in status_range(text) for text in check.status)
    if wanted and check.body in body:
        return
    if answer.status in NOT_NOW and not wanted:
        raise NoVerdict(f"{shown} answered {answer.status}")
    lacks = f", without {check.body!r} in it" if wanted else ""
    raise CheckFailed(f"{shown} answered {answer.status}{lacks}", output_tail=body)


def _in_words(error: Exception) -> str:
    """aiohttp's own words may have the whole URL in them."""
    match error:
        case aiohttp.ClientResponseError():
            return error.message
        case aiohttp.InvalidURL():
            return "the address is malformed"
    return str(error) or type(error).__name__
