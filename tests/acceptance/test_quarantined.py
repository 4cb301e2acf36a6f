"""Releases that do not come back by themselves, and the command that lifts it."""

from desk import Desk


def test_a_release_that_failed_by_its_own_fault_is_refused_until_that_is_lifted(desk: Desk) -> None:
    app = desk.app("failed-by-itself").deployed("1")
    words = app.words("2", exits_at_once=True)
    failed = desk.type(*words, cwd=app.folder)
    assert failed.code == 1
    assert "version 2 is quarantined: it is not brought to test again" in failed.out
    lift = "tidegate release unquarantine failed-by-itself 2 -e test"
    assert f"unless somebody says: {lift}" in failed.out
    again = desk.type(*words, cwd=app.folder)
    assert (again.code, again.out) == (4, "")
    assert again.err.startswith("error: version 2 is quarantined here: in rollout ")
    assert again.err.endswith(f"or, if it was no fault of this one: {lift}\n")
    assert "undone, quarantined" in desk.type("release", "list", app.name).out
    lifted = desk.type(*lift.split()[1:], "-m", "a typing error")
    assert lifted.out == f"2 is not quarantined for {app.name} in test\n"
    assert desk.type(*words, cwd=app.folder).code == 1
    app.assert_serving("1")


def test_with_other_settings_a_release_that_failed_may_be_tried_again(desk: Desk) -> None:
    app = desk.app("wrong-settings", service={"command": ["python3", "nowhere.py"]})
    artifact = app.build("1")
    words = app.words("1", artifact)
    assert desk.type(*words, cwd=app.folder).code == 1
    settings = (app.folder / "tidegate.toml").read_text()
    right = settings.replace('"nowhere.py"', '"serve.py", "--port", "{port}"')
    (app.folder / "tidegate.toml").write_text(right)
    assert desk.type(*words, cwd=app.folder).code == 0


def test_what_was_rolled_back_is_not_deployed_again_by_automation(desk: Desk) -> None:
    """argoproj/argo-cd#9570."""
    app = desk.app("rolled-back").deployed("1")
    artifact = app.build("2")
    words = app.words("2", artifact)
    assert desk.type(*words, cwd=app.folder).code == 0
    back = desk.type("rollback", app.name, "-m", "orders are lost")
    assert back.code == 0
    assert "version 2 is quarantined" in back.out
    for options in ([], ["--force"], ["--plan"]):
        refused = desk.type(*words, *options, cwd=app.folder)
        assert (refused.code, refused.out) == (4, "")
        assert "version 2 is quarantined here: rolled back by " in refused.err
        assert ": orders are lost\n" in refused.err
    app.assert_serving("1")
    assert desk.type("rollback", app.name).code == 0
    app.assert_serving("2")


def test_a_release_is_quarantined_by_hand(desk: Desk) -> None:
    app = desk.app("by-hand").deployed("1").deployed("2").deployed("3")
    said = desk.type("release", "quarantine", app.name, "2", "-m", "loses orders")
    assert said.out == (
        f"2 is quarantined for {app.name} in test\n"
        f"  next: tidegate release unquarantine {app.name} 2 -e test\n"
    )
    again = desk.type("release", "quarantine", app.name, "2", "--json")
    assert again.json == {
        "app": app.name,
        "environment": "test",
        "release": "2",
        "quarantined": True,
        "changed": False,
    }
    refused = desk.type("rollback", app.name, "--to", "2")
    assert refused.code == 4
    assert ": loses orders\n" in refused.err
    assert desk.type("rollback", app.name).code == 0
    app.assert_serving("1")
    unknown = desk.type("release", "quarantine", app.name, "9")
    assert unknown.code == 4
    assert unknown.err == (
        "error: no release 9 was ever deployed here\n"
        f"  next: see: tidegate release list {app.name}\n"
    )


# --- Locks ---------------------------------------------------------------------------------------


def test_a_locked_app_is_deployed_by_its_holder_alone(desk: Desk) -> None:
    app = desk.app("locked").deployed("1")
    locked = desk.type("lock", app.name, "-m", "looking for lost orders", LOGNAME="eve")
    assert locked.code == 0
    assert locked.out.startswith(f"{app.name} in test is locked by eve@")
    assert f"  next: tidegate unlock {app.name} -e test\n" in locked.out
    refused = app.deploy("2")
    assert (refused.code, refused.out) == (4, "")
    assert f"error: {app.name} in test is locked by eve@" in refused.err
    assert ": looking for lost orders\n" in refused.err
    assert f"take the lock away: tidegate unlock {app.name} -e test --force\n" in refused.err
    assert desk.type("rollback", app.name).code == 4
    status = " ".join(desk.type("status", app.name).out.split())
    assert "looking for lost orders: nobody else can deploy or roll back" in status
    assert desk.type("unlock", app.name).code == 4
    unlocked = desk.type("unlock", app.name, "--force", "--json")
    assert (unlocked.json["locked"], unlocked.json["changed"]) == (False, True)
    assert app.deploy("2").code == 0
