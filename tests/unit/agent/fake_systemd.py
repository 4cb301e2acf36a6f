"""Programs called systemctl and journalctl that say what a test has prepared, one answer a call."""

import os
from pathlib import Path

import pytest

# The last answer to a verb stays; without any, silence. A name with "error" goes to standard error.
PROGRAM = """\
#!/bin/sh
here=$(dirname "$0")
verb=$1
[ "${0##*/}" = journalctl ] && verb=journal
echo "$verb $*" >> "$here/calls"
[ -d "$here/$verb" ] || exit 0
set -- $(ls "$here/$verb" | sort -n)
code=0
case $1 in
    *error*) cat "$here/$verb/$1" >&2; code=1 ;;
    *hang*) exec sleep 60 ;;
    *) cat "$here/$verb/$1" ;;
esac
[ $# -gt 1 ] && rm "$here/$verb/$1"
exit $code
"""
LOADED = {
    "LoadState": "loaded",
    "LoadError": "",
    "NeedDaemonReload": "no",
    "Type": "notify",
    "RemainAfterExit": "no",
    "ActiveState": "active",
    "SubState": "running",
    "InvocationID": "run-1",
    "MainPID": "0",
    "NRestarts": "0",
    "Job": "",
    "Result": "success",
    "ExecMainCode": "0",
    "ExecMainStatus": "0",
}
RUNS: dict[str, str] = {}
STARTS = {"ActiveState": "activating", "SubState": "start", "Job": "12"}
NONE = {"ActiveState": "inactive", "SubState": "dead", "InvocationID": ""}
FAILED = {
    "ActiveState": "failed",
    "SubState": "failed",
    "Result": "exit-code",
    "ExecMainCode": "1",
    "ExecMainStatus": "3",
}
WAITS = {**FAILED, "ActiveState": "activating", "SubState": "auto-restart"}


def shown(unit: dict[str, str]) -> str:
    """What `systemctl show` prints of it; what is not said is as it is of one that runs."""
    return "".join(f"{key}={value}\n" for key, value in {**LOADED, **unit}.items())


class FakeSystemd:
    """`folder` is the only one in the PATH that has the programs."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self._number = 0
        for name in ("systemctl", "journalctl"):
            (folder / name).write_text(PROGRAM)
            (folder / name).chmod(0o755)
        monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")

    def answer(self, verb: str, text: str, kind: str = "") -> None:
        """`kind`: "error" or "hang"; else it goes to standard output."""
        (self.folder / verb).mkdir(exist_ok=True)
        self._number += 1
        (self.folder / verb / f"{self._number}{kind}").write_text(text)

    def shows(self, *units: dict[str, str]) -> None:
        """One after the other, in place of what was to be shown before; the last for ever."""
        for old in (self.folder / "show").glob("*"):
            old.unlink()
        for unit in units:
            self.answer("show", shown(unit))

    def told(self) -> list[str]:
        """All that it was told to do, without the questions."""
        path = self.folder / "calls"
        calls = path.read_text().splitlines() if path.exists() else []
        told = [line.partition(" ")[2] for line in calls]
        return [
            line.replace(" --no-ask-password", "")
            for line in told
            if not line.startswith(("show", "--quiet"))
        ]
