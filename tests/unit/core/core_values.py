"""Values that the core's tests share, and how they are told in words."""

import msgspec

from tidegate_controller.core import events as ev
from tidegate_controller.core import types as t
from tidegate_controller.core.rendered import render_digest
from tidegate_controller.core.spec import (
    Health,
    Hooks,
    HttpProbe,
    Pace,
    Policy,
    Service,
    Settings,
    Spec,
    Traffic,
    Waves,
)

PACE = Pace(
    prepare_seconds=600.0,
    soak_seconds=10.0,
    drain_seconds=5.0,
    keep_old_seconds=600.0,
    away_seconds=60.0,
)
POLICY = Policy()
TRAFFIC = Traffic(adapter="caddy", directory="/run/lanes")
WAVES = Waves()
SETTINGS = Settings(
    service=Service(command=("serve",)), health=Health(probe=HttpProbe(url="http://x/health"))
)
SPEC = Spec(
    app="shop", environment="test", nodes=("a", "b"), settings=SETTINGS, traffic=TRAFFIC, pace=PACE
)
ON_EVERY_NODE = msgspec.structs.replace(SETTINGS, hooks=Hooks(migrate="every-node"))
GRACE_SECONDS = 30.0
DOWN = t.Known(running=False, healthy=False)


def place(text: str) -> t.Place:
    return t.Place(text)


def release(version: str, digest: str | None = None, settings: Settings = SETTINGS) -> t.Release:
    config = render_digest(settings, version)
    revision = t.Revision(digest=digest or f"sha256:{version}", config=config)
    return t.Release(version=version, revision=revision, size_bytes=7, settings=settings)


def reread(value: ev.Event | t.State) -> ev.Event | t.State:
    """What the log would give back for an event, or a snapshot for a state."""
    kind = t.State if isinstance(value, t.State) else ev.AnyEvent
    data = msgspec.json.encode(value, enc_hook=str)
    return msgspec.json.decode(data, type=kind, dec_hook=lambda type_, text: type_(text))


def sharing(weights: t.Weights | None) -> dict[str, int] | None:
    """Who takes traffic: weights without the zeros."""
    return None if weights is None else {str(p): share for p, share in weights.items() if share}


def describe(event: ev.Event) -> str:
    """An event in a word or three, for tests that tell a whole story."""
    match event:
        case ev.ActionIssued(action=action):
            return f"issue {action.work.verb} {action.work.place or action.work.at}"
        case ev.StepEntered(step=step) | ev.StepEnded(step=step):
            ended = getattr(event, "outcome", "")
            return f"{step} {ended}" if ended else f"enter {step}"
        case ev.NodeDropped(node=node):
            return f"drop {node}"
        case ev.Ended(state=state):
            return f"ended {state}"
        case ev.ActionEnded(outcome=outcome):
            return f"answer {outcome}"
    return type(event).__name__
