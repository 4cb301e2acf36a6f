"""Placeholders in what an operator configured: {port} {slot} {app} {environment} {version} {node}.

Only these words are filled in; nothing is evaluated. `{{` and `}}` stand for braces.
"""

import re
from collections.abc import Mapping

from tidegate_agent.errors import AgentError

_PIECE = re.compile(r"\{\{|\}\}|\{([a-z]+)\}|[{}]")


def render(text: str, words: Mapping[str, str]) -> str:
    """`text` with its placeholders filled in. Raises `AgentError` for an unknown one."""

    def fill(match: re.Match[str]) -> str:
        piece = match.group()
        if piece in ("{{", "}}"):
            return piece[0]
        word = match.group(1)
        if word not in words:
            known = " ".join(f"{{{name}}}" for name in words)
            raise AgentError(f"{piece!r} in {text!r} is not known here; known: {known}")
        return words[word]

    return _PIECE.sub(fill, text)
