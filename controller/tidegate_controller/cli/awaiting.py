"""What a step waits for, and for how long still, in words. Used by the narrator and the tree."""

from tidegate_controller.cli.phrases import amount, listed, natural, span
from tidegate_controller.cli.picture import Picture
from tidegate_controller.cli.works import Doing, Stage, whom


def time_left(picture: Picture, stage: Stage, now: float) -> str:
    """How long the step may take still, or has to; "" while only a person is awaited."""
    if picture.wait.awaits:
        return ""
    if stage.hold_seconds and not stage.open:
        until = picture.held_until(stage)
        if until is not None:
            return f"all stay healthy for {span(until - now)} more"
    if now > stage.late_at:
        return "late; tried until it succeeds" if stage.undoing else "late"
    return f"at most {span(stage.late_at - now)} more"


def awaited(picture: Picture, stage: Stage, now: float) -> str:
    """Whom or what it waits for: open works, unhealthy places, works that may not begin yet."""
    if picture.wait.awaits:
        return whom(picture.wait.awaits, picture.wait.why)
    if stage.open:
        return listed([doing_words(picture, doing, now) for doing in stage.open])
    if picture.unwell:
        names = listed(sorted(picture.unwell, key=natural))
        return f"{names} to be healthy again"
    if picture.away:
        return listed([f"{node} ({away_words(picture, node, now)})" for node in picture.away])
    if rest := stage.rest:
        late = sorted(picture.moves.late.intersection(filter(None, rest)), key=natural)
        why = f": a move to {listed(late)} may come late, and the balancer is written again first"
        return f"{amount(len(rest), 'work')} that may not begin yet{why if late else ''}"
    return ""


def doing_words(picture: Picture, doing: Doing, now: float) -> str:
    """ "web-1/blue (start)", "web-1 (fetching, 43 % of 112 MB)"."""
    if doing.node in picture.away:
        return f"{doing.where} ({away_words(picture, doing.node, now)})"
    return f"{doing.where} ({doing.progress or doing.what})"


def away_words(picture: Picture, node: str, now: float) -> str:
    """How long its agent has been gone, and how long it is waited for."""
    since = picture.away[node]
    left = since + picture.away_seconds - now
    still = f", waited for {span(left)} more" if left > 0 else ""
    return f"away for {span(now - since)}{still}"
