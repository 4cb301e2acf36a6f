"""The digest of what a slot runs with: the same for the same settings, wherever they come from."""

from pathlib import Path

import msgspec
from config_samples import SMALLEST, changed, read

from tidegate_controller.core.rendered import render_digest
from tidegate_controller.core.spec import Health, HttpProbe, Service, Settings


def test_equal_settings_have_equal_digests_wherever_they_come_from(tmp_path: Path) -> None:
    settings = read(tmp_path, SMALLEST).environment().settings
    decoded = msgspec.json.decode(msgspec.json.encode(settings), type=Settings)
    assert render_digest(settings, "1") == render_digest(decoded, "1")
    whole = Settings(
        service=Service(command=("a",), stop_grace_seconds=2),
        health=Health(probe=HttpProbe(url="b")),
    )
    exact = msgspec.json.decode(msgspec.json.encode(whole), type=Settings)
    assert render_digest(whole, "1") == render_digest(exact, "1")


def test_the_order_of_keys_does_not_matter_and_their_values_do(tmp_path: Path) -> None:
    def digest(environment: str) -> str:
        text = changed("[service]", f"[service]\nenvironment = {environment}")
        return render_digest(read(tmp_path, text).environment().settings, "1")

    assert digest("{ A = '1', B = '2' }") == digest("{ B = '2', A = '1' }")
    assert digest("{ A = '1', B = '2' }") != digest("{ A = '2', B = '1' }")


def test_the_version_counts_since_an_app_is_told_it(tmp_path: Path) -> None:
    settings = read(tmp_path, SMALLEST).environment().settings
    assert render_digest(settings, "1") != render_digest(settings, "2")


def test_a_digest_is_written_as_all_digests_are() -> None:
    settings = Settings(service=Service(command=("a",)), health=Health(probe=HttpProbe(url="b")))
    digest = render_digest(settings, "1")
    algorithm, _, digits = digest.partition(":")
    assert algorithm == "sha256"
    assert len(digits) == 64
    assert set(digits) <= set("0123456789abcdef")
