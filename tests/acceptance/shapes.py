"""The JSON that scripts rely on, written down once more: what design and README promise.

A shape is a type, a set of allowed words, a pattern, `Many(shape)` for a list or the values of an
object, `Either(...)`, or a dict with the fields that must be there; more fields may be.
"""

import re
from dataclasses import dataclass

Shape = object

TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|\+00:00)")  # RFC 3339, UTC
DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
ROLLOUT_ID = re.compile(r"r[1-9]\d*")


@dataclass(frozen=True)
class Many:
    """A list of these, or an object whose values are these."""

    kind: type
    shape: Shape


class Either(tuple[Shape, ...]):
    """One of these shapes."""


RELEASE = {"version": str, "digest": DIGEST}
STATES = {"running", "paused", "awaiting_approval", "rolling_back", "succeeded", "rolled_back"}
STATES |= {"failed", "aborted", "interrupted"}
AWAITS = {"", "person", "freeze"}
SUMMARY = {
    "rollout": ROLLOUT_ID,
    "app": str,
    "environment": str,
    "strategy": {"blue-green", "canary", "rolling"},
    "kind": {"deploy", "rollback"},
    "state": STATES,
    "reason": str,
    "waiting_for": Either([None, str]),
    "awaits": AWAITS,
    "release": RELEASE,
    "previous": Either([None, RELEASE]),
    "requested_by": str,
    "message": str,
    "commit": str,
    "differences": Many(list, str),
    "started_at": TIME,
    "ended_at": Either([None, TIME]),
}
ROLLOUTS = {"rollouts": Many(list, SUMMARY)}
ROLLOUT = SUMMARY | {
    "steps": Many(
        list,
        {
            "name": str,
            "id": str,
            "state": {"pending", "running", "ok", "failed"},
            "nodes": Many(dict, {"state": str, "error": str, "output_tail": str, "tries": int}),
            "started_at": Either([None, TIME]),
            "ended_at": Either([None, TIME]),
            "seconds": Either([None, float]),
            "wave": int,
        },
    ),
    "answers": Many(list, {"continue", "retry", "approve", "promote", "resume", "abort"}),
    "question": Either([None, int]),
    "approvals": Many(list, {"step": str, "by": str, "comment": str, "at": TIME}),
    "debts": Many(dict, str),
    "dropped": Many(dict, str),
    "notes": Many(list, str),
}
SLOT = {
    "version": Either([None, str]),
    "digest": Either([None, DIGEST]),
    "running": Either([None, bool]),
    "healthy": Either([None, bool]),
    "address": Either([None, str]),
    "under_way": Either([None, {"starting", "stopping"}]),
}
STATUS = {
    "apps": Many(
        list,
        {
            "app": str,
            "environment": str,
            "version": Either([None, str]),
            "digest": Either([None, DIGEST]),
            "url": Either([None, str]),
            "rollback_to": Either([None, RELEASE]),
            "traffic_trouble": Either([None, {"what": str, "mend": str}]),
            "rollout": Either(
                [
                    None,
                    {
                        "id": ROLLOUT_ID,
                        "state": STATES,
                        "version": str,
                        "step": Either([None, str]),
                        "waiting_for": Either([None, str]),
                        "awaits": AWAITS,
                        "waiting_seconds": Either([None, float]),
                        "tries_failed": int,
                        "last_error": str,
                    },
                ]
            ),
            "nodes": Many(
                list,
                {
                    "node": str,
                    "connected": bool,
                    "active_slot": Either([None, {"blue", "green"}]),
                    "slots": Many(dict, SLOT),
                    "debt": Either([None, str]),
                },
            ),
        },
    )
}
NODE = {
    "node": str,
    "connected": bool,
    "labels": Many(dict, str),
    "transport": Either([None, {"grpc"}]),
    "agent_version": str,
    "last_seen": Either([None, TIME]),
    "address": str,
}
REFUSED = {"node": str, "at": TIME, "why": str}
NODES = {"nodes": Many(list, NODE), "refused": Many(list, REFUSED)}
NODE_DETAIL = NODE | {
    "facts": Many(dict, str),
    "slots": Many(list, SLOT | {"app": str, "environment": str, "slot": str, "active": bool}),
    "debts": Many(list, str),
    "changes": Many(
        list,
        {
            "at": TIME,
            "app": str,
            "environment": str,
            "slot": {"", "blue", "green"},
            "what": str,
            "detail": str,
        },
    ),
    "refused": Either([None, REFUSED]),
}
PLAN = {
    "plan_id": str,
    "app": str,
    "environment": str,
    "kind": {"deploy", "rollback"},
    "strategy": {"blue-green", "canary", "rolling"},
    "release": RELEASE,
    "previous": Either([None, RELEASE]),
    "protected": bool,
    "differences": Many(list, str),
    "steps": Many(list, {"name": str, "does": Many(list, str), "seconds_max": float, "wave": int}),
    "earlier": Many(list, RELEASE),
}
EXPLANATION = {"rollout": ROLLOUT_ID, "sentences": Many(list, {"at": TIME, "text": str})}
THING = {"kind": str, "name": str, "version": Either([None, str]), "bytes": int}
CLEANUP = {
    "message": str,
    "removed_bytes": int,
    "nodes": Many(
        list,
        {
            "node": str,
            "state": {"ok", "owed", "waiting", "removed", "failed", "cancelled"},
            "said": str,
            "removed": Many(list, THING),
            "removed_count": int,
            "removed_bytes": int,
            "made": Many(list, THING),
            "stayed": Many(list, {"kind": str, "why": str, "count": int, "bytes": int}),
        },
    ),
}
EVENT = {"seq": int, "stream": str, "version": int, "at": TIME, "kind": str, "data": dict}
DEMO = {
    "releases": Many(
        list,
        {"version": str, "kind": {"deploy", "rollback"}, "state": STATES, "seconds": float},
    ),
    "requests": {"served": int, "failed": int},
}


def misfits(value: object, shape: Shape, where: str = "") -> list[str]:
    """Every place where the value is not of the shape; a number or a bool is never the other."""
    here = where or "the document"
    match shape:
        case Either():
            found = [misfits(value, one, where) for one in shape]
            return [] if [] in found else max(found, key=lambda each: max(map(len, each)))
        case Many(kind=kind, shape=inner):
            if type(value) is not kind:
                return [f"{here} is no {kind.__name__}: {value!r}"]
            items = value.items() if isinstance(value, dict) else enumerate(value)
            return [bad for key, each in items for bad in misfits(each, inner, f"{where}.{key}")]
        case dict():
            if type(value) is not dict:
                return [f"{here} is no object: {value!r}"]
            missing = [f"{where}.{key} is missing" for key in shape if key not in value]
            fields = [(key, inner) for key, inner in shape.items() if key in value]
            return missing + [
                bad for key, inner in fields for bad in misfits(value[key], inner, f"{where}.{key}")
            ]
        case type():
            fits = type(value) is shape
        case re.Pattern():
            fits = isinstance(value, str) and shape.fullmatch(value) is not None
        case set():
            fits = isinstance(value, str) and value in shape
        case _:
            fits = value is shape
    return [] if fits else [f"{here} is {value!r}, not {shape}"]
