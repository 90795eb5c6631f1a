"""The platform's keychain, as one server sees it."""

from __future__ import annotations

from . import _core
from ._kept import Kept
from ._manager import WINDOW, caller

__all__ = ["MCPSecretsStorage"]


class MCPSecretsStorage(Kept):
    """The secrets of the server of this name, without a flow or a question.

    The service of an item is `com.mcp.{server_name}`, its account the name of the secret.
    """

    def __init__(self, server_name: str) -> None:
        self._core = _core.Storage(server_name, caller(), WINDOW)
