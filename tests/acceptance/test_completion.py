"""Completion as shells ask for it: words from the controller, and silence where there is none."""

import shutil
import subprocess

import pytest
from desk import TIDEGATE, Answer, AppFolder, Desk

SHELLS = ("bash", "zsh", "fish")


def completed(desk: Desk, line: str, **more: str) -> list[str]:
    """What bash would offer for the line's last word."""
    words = line.split(" ")
    answer: Answer = desk.type(
        _TIDEGATE_COMPLETE="bash_complete",
        COMP_CWORD=str(len(words) - 1),
        COMP_WORDS=line,
        **more,
    )
    assert (answer.code, answer.err) == (0, "")
    return [each.partition(",")[2] for each in answer.out.splitlines() if each]


def test_nodes_are_known(desk: Desk) -> None:
    assert {"web-1", "web-2"} <= set(completed(desk, "tidegate node show "))
    assert completed(desk, "tidegate node show web-2") == ["web-2"]


def test_apps_and_their_rollouts_versions_and_environments_are_known(
    desk: Desk, shop: AppFolder
) -> None:
    assert completed(desk, "tidegate status sho") == ["shop"]
    (rollout,) = shop.rollouts()
    assert rollout["rollout"] in completed(desk, "tidegate rollout show ")
    assert rollout["rollout"] in completed(desk, "tidegate explain ")
    assert rollout["rollout"] not in completed(desk, "tidegate rollout continue ")
    assert completed(desk, "tidegate rollback shop --to ") == ["1"]
    assert completed(desk, "tidegate rollback shop -e ") == ["test"]


def test_what_is_configured_is_known_without_a_controller(desk: Desk) -> None:
    app = desk.app("configured-only")
    nowhere = {"TIDEGATE_CONTROLLER": "127.0.0.1:1"}
    words = {"_TIDEGATE_COMPLETE": "bash_complete", "COMP_WORDS": "tidegate deploy -e "}
    answer = desk.type(cwd=app.folder, COMP_CWORD="3", **words, **nowhere)
    assert (answer.code, answer.out, answer.err) == (0, "plain,test\n", "")


def test_a_rollout_that_waits_is_offered_for_an_answer(desk: Desk) -> None:
    app = desk.app(
        "waits-for-an-answer", traffic={"adapter": "none", "directory": None, "lanes": None}
    )
    assert app.deploy("1").code == 5
    name = app.newest()["rollout"]
    assert completed(desk, "tidegate rollout continue ") == [name]
    desk.type("rollout", "continue", name)


def test_where_no_controller_answers_nothing_is_offered_and_nothing_said(desk: Desk) -> None:
    for address in ("127.0.0.1:1", "nonsense"):
        assert completed(desk, "tidegate node show ", TIDEGATE_CONTROLLER=address) == []


def test_the_controller_that_is_named_on_the_line_is_asked(desk: Desk) -> None:
    line = f"tidegate --controller {desk.fleet.address} node show web-1"
    assert completed(desk, line, TIDEGATE_CONTROLLER="127.0.0.1:1") == ["web-1"]


@pytest.mark.parametrize("shell", SHELLS)
def test_each_shell_gets_a_script_that_it_can_read(desk: Desk, shell: str) -> None:
    answer = desk.type("completion", shell)
    assert (answer.code, answer.err) == (0, "")
    assert "_TIDEGATE_COMPLETE" in answer.out
    if shutil.which(shell):  # not every machine has all three
        check = [shell, "--no-execute" if shell == "fish" else "-n"]
        done = subprocess.run(check, input=answer.out, text=True, capture_output=True, check=False)
        assert (done.returncode, done.stderr) == (0, "")


def test_bash_completes_what_is_typed(desk: Desk) -> None:
    """As bash does it: its own variables set, the function called that was registered."""
    script = f"""
        PATH={TIDEGATE.rpartition("/")[0]}:$PATH
        eval "$(tidegate completion bash)"
        COMP_WORDS=(tidegate node show web-) COMP_CWORD=3
        function=$(complete -p tidegate | sed 's/.*-F \\([^ ]*\\).*/\\1/')
        $function tidegate web- show
        printf '%s\\n' "${{COMPREPLY[@]}}"
    """
    process = desk.start("bash", "--norc", "-c", script)
    out, err = process.communicate(timeout=60)
    assert {"web-1", "web-2"} <= set(out.split()), err


def test_a_shell_that_is_not_known_is_an_error(desk: Desk) -> None:
    answer = desk.type("completion", "powershell")
    assert (answer.code, answer.out) == (2, "")
    assert "is not one of 'bash', 'zsh', 'fish'" in answer.err


def test_files_folders_and_fixed_words_are_offered_too(desk: Desk, shop: AppFolder) -> None:
    def kinds(line: str) -> list[str]:
        return desk.type(
            _TIDEGATE_COMPLETE="bash_complete",
            COMP_CWORD=str(line.count(" ")),
            COMP_WORDS=line,
        ).out.splitlines()

    assert kinds("tidegate deploy --artifact ../shop-1") == ["file,../shop-1"]
    assert kinds("tidegate controller run --data ../") == ["dir,../"]
    assert completed(desk, "tidegate init --traffic ") == ["caddy", "exec", "none"]
    assert shop.status()["digest"] in completed(desk, "tidegate deploy --artifact sha256:")
