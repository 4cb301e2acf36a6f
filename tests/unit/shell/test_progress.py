"""News of open commands: passed on to who follows, in memory alone, and nobody waits for it."""

from without_doors import SILENT, Agent, Desk

from tidegate_controller.documents import ProgressView
from tidegate_controller.history import find_rollout
from tidegate_controller.nodes import TEXT_CHARS
from tidegate_controller.progress import ACTIONS_MAX, SAID_CHARS, WAITING_MAX, Board
from tidegate_protos.v1 import agent_pb2 as pb

ALL = {str(number) for number in range(ACTIONS_MAX + 1)}


def news(action: str, text: str = "") -> ProgressView:
    return ProgressView(node="a", action=action, text=text)


def texts(queue: object) -> list[str]:
    found = []
    while not queue.empty():
        found.append(queue.get_nowait().text)
    return found


def test_who_follows_is_told_all_that_comes() -> None:
    board = Board()
    with board.following(ALL) as one, board.following(ALL) as other:
        for text in "abc":
            board.publish(news("1", text))
        assert texts(one) == texts(other) == ["a", "b", "c"]


def test_who_comes_later_begins_with_the_last_words() -> None:
    board = Board()
    for action, text in [("1", "a"), ("2", "b"), ("1", "c")]:
        board.publish(news(action, text))
    with board.following(ALL) as late:
        assert texts(late) == ["b", "c"]


def test_and_with_nothing_of_what_is_not_open() -> None:
    board = Board()
    board.publish(news("1", "a"))
    board.publish(news("2", "b"))
    with board.following({"2"}) as late:
        assert texts(late) == ["b"]


def test_an_action_that_has_ended_has_no_last_word() -> None:
    board = Board()
    board.publish(news("1", "a"))
    board.publish(news("2", "b"))
    board.forget("1")
    board.forget("never-heard-of")
    with board.following(ALL) as late:
        assert texts(late) == ["b"]


def test_who_is_slow_loses_the_oldest_and_nobody_else_anything() -> None:
    board = Board()
    with board.following(ALL) as slow, board.following(ALL) as quick:
        heard = []
        for number in range(WAITING_MAX + 2):
            board.publish(news("1", str(number)))
            heard += texts(quick)
        assert heard == [str(number) for number in range(WAITING_MAX + 2)]
        assert texts(slow) == [str(number) for number in range(2, WAITING_MAX + 2)]


def test_only_so_many_last_words_are_kept() -> None:
    board = Board()
    for number in range(ACTIONS_MAX + 1):
        board.publish(news(str(number), str(number)))
    with board.following(ALL) as late:
        kept = texts(late)
    assert (len(kept), kept[-1]) == (WAITING_MAX, str(ACTIONS_MAX))
    board.forget("0")  # dropped long ago
    assert len(board._last) == ACTIONS_MAX


def test_who_has_gone_is_told_nothing_more() -> None:
    board = Board()
    with board.following(ALL) as gone:
        pass
    board.publish(news("1", "a"))
    assert texts(gone) == []


async def preparing(desk: Desk) -> Agent:
    node = await desk.node("a")
    node.outcomes["prepare_slot"] = SILENT
    await desk.deploy("1")
    await desk.until(lambda: "prepare_slot" in node.works())
    return node


async def test_progress_of_a_nodes_own_command_is_passed_on(desk: Desk) -> None:
    node = await preparing(desk)
    command = node.last("prepare_slot").id
    said = pb.Progress(command_id=command, text="fetching", done_bytes=5, total_bytes=9)
    with desk.nodes.board.following(()) as queue:
        desk.nodes.progressed(node.session, said)
        assert queue.get_nowait() == ProgressView(
            node="a", action=command, text="fetching", done_bytes=5, total_bytes=9
        )


async def test_what_a_script_was_heard_to_write_is_shown_where_no_result_has_it(desk: Desk) -> None:
    node = await preparing(desk)
    command = node.last("prepare_slot").id
    for text in ("running install.sh", "one\n", "two\nthree\n"):
        desk.nodes.progressed(node.session, pb.Progress(command_id=command, text=text))
    place = desk.engine.place_of("r1")
    heard = desk.nodes.board.said
    view = find_rollout(desk.log.path, place.stream, place.version, heard)
    (step,) = [step for step in view.steps if step.name == "Prepare"]
    assert (step.nodes["a"].state, step.nodes["a"].output_tail) == ("running", "one\ntwo\nthree\n")


def test_only_the_end_of_what_was_written_is_kept() -> None:
    board = Board()
    for number in range(SAID_CHARS):
        board.publish(news("1", f"{number}\n"))
    assert len(board.said("1")) == SAID_CHARS
    assert board.said("1").endswith(f"{SAID_CHARS - 1}\n")
    board.forget("1")
    assert board.said("1") == ""


async def test_progress_of_another_nodes_command_is_not(desk: Desk) -> None:
    node = await preparing(desk)
    other = await desk.node("b")
    with desk.nodes.board.following(()) as queue:
        for command in (node.last("prepare_slot").id, "x-shop@prod-1-4", ""):
            desk.nodes.progressed(other.session, pb.Progress(command_id=command, text="lies"))
        assert queue.empty()


async def test_progress_of_a_command_that_has_ended_is_not(desk: Desk) -> None:
    node = await preparing(desk)
    command = node.last("prepare_slot")
    desk.nodes.progressed(node.session, pb.Progress(command_id=command.id, text="before"))
    await node.answer(command)
    desk.nodes.progressed(node.session, pb.Progress(command_id=command.id, text="after"))
    with desk.nodes.board.following({command.id}) as late:
        assert late.empty()


async def test_long_output_is_passed_on_from_its_end(desk: Desk) -> None:
    node = await preparing(desk)
    command = node.last("prepare_slot").id
    text = "x" * TEXT_CHARS + "the end"
    with desk.nodes.board.following(()) as queue:
        desk.nodes.progressed(node.session, pb.Progress(command_id=command, text=text))
        passed = queue.get_nowait().text
    assert len(passed) == TEXT_CHARS
    assert passed.endswith("the end")


async def test_progress_changes_nothing_in_the_log(desk: Desk) -> None:
    node = await preparing(desk)
    before = desk.log.last_seq
    command = node.last("prepare_slot").id
    desk.nodes.progressed(node.session, pb.Progress(command_id=command, text="fetching"))
    assert desk.log.last_seq == before
