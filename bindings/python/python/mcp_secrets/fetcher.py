"""Asking a person for the secrets that are missing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ._manager import MCPSecretsManager, secrets_manager

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ._types import Context, SecretInfo

__all__ = ["fetch_secrets"]


async def fetch_secrets(
    ctx: Context,
    secrets_info: Mapping[str, SecretInfo],
    *,
    manager: MCPSecretsManager | None = None,
) -> tuple[bool, str]:
    """Asks for those of `secrets_info` that are missing, in a window of their own, and stores them.

    Returns whether the required ones are there now, and a sentence for the tool's answer. The client shows a
    code meanwhile, which is the one in the window. To cancel the task closes the window.
    """
    return await (manager or secrets_manager).fetch_secrets(ctx, secrets_info)
