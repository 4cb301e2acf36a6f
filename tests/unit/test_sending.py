"""Which artifact is meant by `--artifact` and `--digest` together."""

from typing import Any

import pytest

from tidegate_controller.cli import sending
from tidegate_controller.cli.sending import Artifact
from tidegate_controller.documents import ListedRelease, ReleaseList
from tidegate_controller.errors import UsageError
from tidegate_protos.v1 import operator_pb2 as pb

STORED = f"sha256:{'a1' * 32}"
OTHER = f"sha256:{'b2' * 32}"
SHORT = STORED[:19]


class Controller:
    """Has one artifact, `STORED`."""

    def artifact(self, digest: str) -> pb.ArtifactReply:
        return pb.ArtifactReply(digest=digest, present=digest == STORED, size_bytes=9)

    def releases(self, _: str) -> ReleaseList:
        pushed = ListedRelease(
            app=None,
            environment=None,
            version=None,
            digest=STORED,
            state="pushed",
            active_on=[],
            held_by=[],
            at=None,
            stored=True,
            size_bytes=9,
            url=None,
        )
        return ReleaseList(releases=[pushed])


def find(text: str, digest: str | None) -> Artifact:
    controller: Any = Controller()
    return sending.find(controller, text, digest, pb.ArtifactLabel(), direct=False)


@pytest.mark.parametrize("text", [STORED, SHORT, SHORT.removeprefix("sha256:")])
def test_an_artifact_that_is_named_by_its_digest_may_not_be_another_than_it_must_be(
    text: str,
) -> None:
    with pytest.raises(UsageError) as refused:
        find(text, OTHER)
    assert refused.value.message == f"the artifact {STORED} is not {OTHER}"
    assert "leave out --digest" in refused.value.hint
    assert find(text, STORED) == find(text, None) == Artifact(STORED, 9)
