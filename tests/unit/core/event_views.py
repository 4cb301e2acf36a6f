"""What happened in a `World`, as the controller would tell it to the command line."""

from collections.abc import Iterator
from datetime import UTC, datetime

import msgspec
from driver import World

from tidegate_controller.cli.phrases import seconds_of
from tidegate_controller.cli.picture import Picture
from tidegate_controller.documents import EventView
from tidegate_controller.log import Record, encode

MORNING = seconds_of("2026-11-24T09:00:00+00:00")
BEGIN = 1000.0  # of every World's clock


def wall(clock: float) -> float:
    """The World's clock as seconds since 1970."""
    return MORNING + clock - BEGIN


def views(world: World, since: int = 0) -> Iterator[EventView]:
    """The events after the first `since` ones."""
    for seq, (clock, event) in enumerate(world.log[since:], since + 1):
        yield EventView(
            seq=seq,
            stream="shop@test",
            version=seq,
            at=datetime.fromtimestamp(wall(clock), UTC).isoformat(timespec="milliseconds"),
            kind=type(event).__name__,
            data=msgspec.json.decode(msgspec.json.encode(event, enc_hook=str)),
            cause=world.causes.get(seq - 1),
        )


def picture_of(world: World, since: int) -> Picture:
    """What somebody sees who watches from then on."""
    picture = Picture()
    for view in views(world, since):
        picture.take(view)
    return picture


def records(world: World) -> list[Record]:
    """All events as the log has them."""
    return [
        Record(
            view.seq, view.stream, view.version, view.at, clock, view.kind, encode(event), None, ""
        )
        for view, (clock, event) in zip(views(world), world.log, strict=True)
    ]
