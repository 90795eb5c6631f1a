"""The secrets of one server."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from . import _core
from ._kept import Kept

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from ._types import Context, SecretInfo

# The window program and its manifest, in the wheel of its platform.
WINDOW = os.path.join(os.path.dirname(os.path.abspath(__file__)), "bin")


class MCPSecretsManager(Kept):
    """The secrets of one server: kept in the platform's keychain, each server's apart.

    What asks a person is awaited; everything else waits for the keychain, without holding up other threads.
    """

    def __init__(self) -> None:
        self._core: _core.Manager = _core.Manager()

    def initialize(self, server_name: str, *, cache: bool = False) -> None:
        """Names the server. With `cache`, values that were read are kept in memory.

        `SECRETS_STORAGE_CLEAR=true` in the environment removes all secrets of the server here.
        """
        self._core.initialize(server_name, caller(), WINDOW, cache)

    @property
    def server_name(self) -> str | None:
        """The name of the server, once it has one."""
        return self._core.server_name

    def ensure_secrets(self, names: Iterable[str]) -> bool:
        """Whether there is a secret for each of `names`."""
        return self._core.ensure_secrets([names] if isinstance(names, str) else list(names))

    async def retrieve_secret_with_permission(
        self, name: str, ctx: Context, reason: str | None = None
    ) -> str | None:
        """The value of `name`, if a person allows its use for `reason`: in the client, or in a window where
        the client cannot ask. None, without a question, where there is no such secret.

        Raises PermissionDenied for everything but a yes.
        """
        secret = await self._retrieve(name, ctx, reason)
        return None if secret is None else secret.reveal()

    async def fetch_secrets(
        self, ctx: Context, secrets_info: Mapping[str, SecretInfo]
    ) -> tuple[bool, str]:
        """As `mcp_secrets.fetcher.fetch_secrets`, for this manager."""
        from . import _asking, errors

        try:
            info = _asking.to_json(secrets_info)
            ok, message = await _asking.run(lambda host: self._core.fetch(host, info), ctx)
        except errors.InvalidInput as error:
            return False, f"Nothing was stored: {error}"
        return ok, message

    async def _retrieve(self, name: str, ctx: Context, reason: str | None) -> _core.Secret | None:
        from . import _asking

        def begin(host: _asking.Host) -> _core.Task:
            return self._core.retrieve_with_permission(host, name, reason)

        secret: _core.Secret | None = await _asking.run(begin, ctx)
        return secret

    def __repr__(self) -> str:
        return f"<MCPSecretsManager of {self.server_name!r}>"


def caller() -> str | None:
    """The file of the code that called a function of this package: by it two servers of one name are told
    apart, whatever starts them."""
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_globals.get("__package__") == __package__:
        frame = frame.f_back
    file = frame.f_globals.get("__file__")
    return os.path.abspath(file) if isinstance(file, str) else None


secrets_manager = MCPSecretsManager()
