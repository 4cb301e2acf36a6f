"""`release list`: what streams know of releases, joined with what the store has."""

import msgspec
import pytest

from tidegate_controller.artifacts import Note
from tidegate_controller.core import types as t
from tidegate_controller.core.releases import known_releases
from tidegate_controller.core.spec import Health, HttpProbe, Service, Settings, Spec, Traffic
from tidegate_controller.documents import ListedRelease, ReleaseList, ReleaseView, RolloutSummary
from tidegate_controller.errors import UsageError
from tidegate_controller.release_views import releases


def release(version: str, url: str = "", *, config: str = "1", digest: str = "") -> t.Release:
    revision = t.Revision(digest=f"sha256:{digest or version}", config=config)
    settings = Settings(
        service=Service(command=("x",)), health=Health(probe=HttpProbe(url="http://x/{port}"))
    )
    return t.Release(version=version, revision=revision, size_bytes=10, settings=settings, url=url)


def rolled(version: str, at: str, environment: str = "test", ended: bool = True) -> RolloutSummary:
    return RolloutSummary(
        rollout="r1",
        app="shop",
        environment=environment,
        strategy="blue-green",
        kind="deploy",
        state="succeeded",
        reason="",
        waiting_for=None,
        release=ReleaseView(version=version, digest=f"sha256:{version}"),
        previous=None,
        requested_by="ann",
        started_at=at,
        ended_at=at.replace("T00", "T01") if ended else None,
    )


def running(goal: t.Release) -> t.Rollout:
    spec = Spec(
        app="shop",
        environment="test",
        nodes=("web-1",),
        settings=goal.settings,
        traffic=Traffic(adapter="none"),
    )
    return t.Rollout(
        id="r9",
        kind="deploy",
        strategy="blue-green",
        release=goal,
        previous=None,
        nodes=("web-1",),
        absent={},
        spec=spec,
        before={},
        plan=(),
    )


def places(**held: str) -> dict[t.Place, t.Known]:
    return {
        t.Place(name.replace("_", "-").replace("--", "/")): t.Known(
            revision=t.Revision(digest=f"sha256:{version}", config="1")
        )
        for name, version in held.items()
    }


def by_version(found: list[ListedRelease]) -> dict[str | None, ListedRelease]:
    return {each.version: each for each in found}


BLUE, GREEN = t.Place("web-1/blue"), t.Place("web-1/green")
STATE = t.State(
    committed=(release("1"), release("2"), release("1"), release("3", "https://x.org/3.zip")),
    undone=(release("4"),),
    rollout=running(release("5")),
    places=places(web_1__blue="3", web_1__green="5", web_2__blue="3", web_2__green="1"),
    settled={BLUE: 100, t.Place("web-2/blue"): 100},
)
TIMES = [
    rolled("1", "2026-01-01T00:00:00Z"),
    rolled("2", "2026-01-02T00:00:00Z"),
    rolled("1", "2026-01-03T00:00:00Z"),
    rolled("3", "2026-01-04T00:00:00Z"),
    rolled("4", "2026-01-05T00:00:00Z"),
    rolled("5", "2026-01-06T00:00:00Z", ended=False),
    rolled("1", "2026-01-09T00:00:00Z", environment="staging"),
]


def test_every_release_that_a_stream_knows_is_listed_once_the_newest_first() -> None:
    notes = {"sha256:3": Note(), "sha256:1": Note(url="http://y/1")}
    listing = releases({"shop@test": STATE}, TIMES, notes, "")
    found = listing.releases
    assert msgspec.json.decode(msgspec.json.encode(listing), type=ReleaseList) == listing
    assert [(each.version, each.state, each.at) for each in found] == [
        ("5", "in rollout", "2026-01-06T00:00:00Z"),
        ("4", "undone", "2026-01-05T01:00:00Z"),
        ("3", "active", "2026-01-04T01:00:00Z"),
        ("1", "former", "2026-01-03T01:00:00Z"),
        ("2", "former", "2026-01-02T01:00:00Z"),
    ]
    listed = by_version(found)
    assert listed["3"].active_on == ["web-1/blue", "web-2/blue"]
    assert listed["1"].active_on == []
    assert listed["1"].held_by == ["web-2/green"]
    assert listed["5"].held_by == ["web-1/green"]
    assert {version for version, each in listed.items() if each.stored} == {"1", "3"}
    assert (listed["3"].url, listed["1"].url) == ("https://x.org/3.zip", "http://y/1")
    assert (listed["3"].app, listed["3"].environment) == ("shop", "test")


def test_a_release_that_was_deployed_again_with_other_settings_is_one_release() -> None:
    state = t.State(committed=(release("1"), release("1", config="2")))
    (found,) = releases({"shop@test": state}, [], {}, "").releases
    assert (found.state, found.at) == ("active", None)


def test_of_two_versions_with_one_artifact_only_the_one_that_was_started_is_active() -> None:
    first = release("1", digest="same", config="of 1")
    second = release("2", digest="same", config="of 2")
    running = {BLUE: t.Known(revision=first.revision), GREEN: t.Known(revision=second.revision)}
    state = t.State(committed=(first, second), places=running, settled={GREEN: 100})
    listed = by_version(releases({"shop@test": state}, [], {}, "").releases)
    assert (listed["2"].active_on, listed["2"].held_by) == ([GREEN], [GREEN])
    assert (listed["1"].active_on, listed["1"].held_by) == ([], [BLUE])


def test_what_was_only_found_on_nodes_after_a_restore_is_no_former_release() -> None:
    found = msgspec.structs.replace(release("2"), never_succeeded=True)
    state = t.State(stream="shop@test", committed=(release("1"), found, release("1")))
    listed = by_version(releases({"shop@test": state}, [], {}, "shop").releases)
    assert {version: each.state for version, each in listed.items()} == {
        "1": "active",
        "2": "undone",
    }


def test_what_was_only_pushed_comes_last_and_under_its_app() -> None:
    notes = {
        "sha256:3": Note(app="shop", version="3"),
        "sha256:8": Note(app="shop", version="8", added_at="2026-02-01T00:00:00Z", size_bytes=7),
        "sha256:9": Note(added_at="2026-02-02T00:00:00Z"),
    }
    states = {"shop@test": STATE}
    everything = releases(states, TIMES, notes, "").releases
    assert [(each.digest, each.app, each.state) for each in everything[-2:]] == [
        ("sha256:9", None, "pushed"),
        ("sha256:8", "shop", "pushed"),
    ]
    of_shop = releases(states, TIMES, notes, "shop").releases
    assert [each.version for each in of_shop] == ["5", "4", "3", "1", "2", "8"]
    assert of_shop[-1].environment is None
    assert (of_shop[-1].stored, of_shop[-1].size_bytes) == (True, 7)


def test_an_app_that_nobody_knows_is_said_so() -> None:
    assert releases({}, [], {}, "").releases == []
    with pytest.raises(UsageError, match="there is no release of blog"):
        releases({"shop@test": STATE}, TIMES, {}, "blog")


def test_what_a_stream_may_run_again_is_still_needed() -> None:
    known = {each.revision.digest for each in known_releases(STATE)}
    assert known == {f"sha256:{version}" for version in "12345"}


def test_an_adopted_release_stands_where_it_was_active_and_not_at_the_end() -> None:
    """Nobody has deployed it, as far as the restored log knows."""
    rolls = [rolled("1", "2026-11-24T00:00:00Z"), rolled("3", "2026-11-26T00:00:00Z")]
    state = t.State(committed=(release("1"), release("2"), release("3")))
    found = releases({"shop@test": state}, rolls, {}, "shop").releases
    assert [each.version for each in found] == ["3", "2", "1"]
    assert found[1].at is None
    state = t.State(committed=(release("1"), release("3"), release("2")))
    found = releases({"shop@test": state}, rolls, {}, "shop").releases
    assert [each.version for each in found] == ["2", "3", "1"]
