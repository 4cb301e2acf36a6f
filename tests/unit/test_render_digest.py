"""The digest of what a slot runs with: the same for the same settings, wherever they come from."""

from pathlib import Path

import msgspec
from config_samples import SMALLEST, changed, read

from tidegate_controller.config import render_digest
from tidegate_controller.core.spec import Health, HttpProbe, Service, Settings


def test_equal_settings_have_equal_digests_wherever_they_come_from(tmp_path: Path) -> None:
    settings = read(tmp_path, SMALLEST).environment().settings
    decoded = msgspec.json.decode(msgspec.json.encode(settings), type=Settings)
    assert render_digest(settings) == render_digest(decoded)
    whole = Settings(
        service=Service(command=("a",), stop_grace_seconds=2),
        health=Health(probe=HttpProbe(url="b")),
    )
    exact = msgspec.json.decode(msgspec.json.encode(whole), type=Settings)
    assert render_digest(whole) == render_digest(exact)


def test_the_order_of_keys_does_not_matter_and_their_values_do(tmp_path: Path) -> None:
    def digest(environment: str) -> str:
        text = changed("[service]", f"[service]\nenvironment = {environment}")
        return render_digest(read(tmp_path, text).environment().settings)

    assert digest("{ A = '1', B = '2' }") == digest("{ B = '2', A = '1' }")
    assert digest("{ A = '1', B = '2' }") != digest("{ A = '2', B = '1' }")


def test_a_digest_is_written_as_all_digests_are() -> None:
    digest = render_digest(
        Settings(service=Service(command=("a",)), health=Health(probe=HttpProbe(url="b")))
    )
    algorithm, _, digits = digest.partition(":")
    assert algorithm == "sha256"
    assert len(digits) == 64
    assert set(digits) <= set("0123456789abcdef")
