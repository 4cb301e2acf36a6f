"""The digest of what a slot runs with, beside its artifact: `Revision.config`.

Made where a deployment is asked for, and again where a log that was restored meets what runs.
"""

import hashlib

import msgspec

from tidegate_controller.core.spec import Settings


def render_digest(settings: Settings, version: str) -> str:
    """`sha256:…` of what a slot runs with; equal settings of one version have equal digests. The
    version is part of it because an app is told it: {version}, and TIDEGATE_VERSION."""
    as_decoded = msgspec.convert(msgspec.to_builtins(settings), Settings)  # 2 and 2.0 are one value
    canonical = msgspec.json.encode((version, as_decoded), order="deterministic")
    return f"sha256:{hashlib.sha256(canonical).hexdigest()}"
