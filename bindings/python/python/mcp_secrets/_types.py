"""Types of the public functions. Nothing here is imported at run time."""

from __future__ import annotations

from typing import Any, Literal, Protocol, TypedDict


class Context(Protocol):
    """What a framework's context must have beside `info(text)` or `log.info(text)`."""

    @property
    def elicit(self) -> Any:
        """Asks the client: `elicit(message, answers)`, awaitable or not; what it returns has `action`
        (`accept`, `decline`, `cancel`) and `data`."""


class SecretInfo(TypedDict, total=False):
    """How a secret is asked for."""

    label: str
    field_type: Literal["text", "password", "url", "email"]
    required: bool
    default: str
    placeholder: str
    help_text: str
