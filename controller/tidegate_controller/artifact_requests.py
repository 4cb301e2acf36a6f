"""What is asked of the controller about artifacts: is it here, take it, fetch it, how large is it.

Called by `operator_service`, once per call of the CLI, and by `deploy_requests`, which asks for
the size alone. Everything is checked here again.
"""

from collections.abc import AsyncIterator

from tidegate_controller import artifact_sources
from tidegate_controller.artifact_form import form_of
from tidegate_controller.artifacts import ARTIFACT_BYTES_MAX, ArtifactStore, Note
from tidegate_controller.config_checks import NAME_FORM, VERSION_FORM
from tidegate_controller.errors import UsageError
from tidegate_protos import formats
from tidegate_protos.rules import DIGEST, NAME, VERSION
from tidegate_protos.v1 import operator_pb2 as pb

LABEL_CHARS = 200


def reply(store: ArtifactStore, digest: str) -> pb.ArtifactReply:
    """What the store has under the digest; whoever asks may be about to deploy it."""
    store.renew(digest)
    path = store.path(digest)
    size = path.stat().st_size if path else 0
    return pb.ArtifactReply(digest=digest, present=path is not None, size_bytes=size)


async def upload(store: ArtifactStore, chunks: AsyncIterator[pb.UploadChunk]) -> pb.ArtifactReply:
    """Take what the client sends. Raises `UsageError`, `Refused` or `TidegateError`."""
    first = await anext(aiter(chunks), None)
    if first is None or not first.size_bytes:
        raise UsageError("the upload was empty, or did not say its size")
    note = _note(first.label)
    if store.path(first.digest) is not None:
        store.relabel(first.digest, note)
        return reply(store, first.digest)

    async def data() -> AsyncIterator[bytes]:
        yield first.data
        async for chunk in chunks:
            yield chunk.data

    await store.receive(data(), note, digest=first.digest, size_bytes=first.size_bytes)
    return reply(store, first.digest)


async def fetch(store: ArtifactStore, request: pb.FetchRequest) -> pb.ArtifactReply:
    """Fetch what a URL has, unless its digest is given and here. Raises like `upload`."""
    note = _note(request.label, url=artifact_sources.public(request.url))
    if request.digest and store.path(request.digest) is not None:
        store.relabel(request.digest, note)
        return reply(store, request.digest)
    async with artifact_sources.opened(request.url) as (size, pieces):
        archive = _archive(pieces, artifact_sources.public(request.url))
        digest = await store.receive(archive, note, digest=request.digest, size_bytes=size)
    return reply(store, digest)


async def _archive(pieces: AsyncIterator[bytes], where: str) -> AsyncIterator[bytes]:
    """The same pieces, of an archive. Raises `UsageError` for anything else, such as the page of a
    website that asks for a password."""
    head = b""
    async for piece in pieces:
        head += piece
        if len(head) >= formats.HEAD_BYTES:
            break
    form_of(head[: formats.HEAD_BYTES], where)
    yield head
    async for piece in pieces:
        yield piece


async def size_of(store: ArtifactStore, request: pb.DeployRequest, *, planned: bool) -> int:
    """How large the artifact of a deployment is, here or where its URL says. Where it is only
    planned, the client's word for it will do. Raises `UsageError` where it is not here, or its
    size cannot be had."""
    if not request.url:
        path = store.path(request.digest)
        if path is None and planned and request.size_bytes:
            return request.size_bytes
        if path is None:
            raise UsageError("the artifact is not on the controller", "upload it first")
        store.renew(request.digest)
        return path.stat().st_size
    if not DIGEST.fullmatch(request.digest):
        raise UsageError(
            "an artifact that agents fetch themselves needs its digest", "add --digest"
        )
    where = artifact_sources.public(request.url)
    size = request.size_bytes or await artifact_sources.size_of(request.url)
    if size > ARTIFACT_BYTES_MAX:
        raise UsageError(f"{where} has {size:,} bytes, {ARTIFACT_BYTES_MAX:,} are allowed")
    return size


def _note(label: pb.ArtifactLabel, url: str = "") -> Note:
    if label.app and not NAME.fullmatch(label.app):
        raise UsageError(f"the app {label.app[:80]!r} is not of the form: {NAME_FORM}")
    if label.version and not VERSION.fullmatch(label.version):
        raise UsageError(f"the version {label.version[:80]!r} is not of the form: {VERSION_FORM}")
    return Note(
        name=label.name[:LABEL_CHARS],
        app=label.app,
        version=label.version,
        added_by=label.added_by[:LABEL_CHARS],
        url=url,
    )
