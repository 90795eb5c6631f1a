"""The window, without a flow around it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from . import _core
from ._manager import WINDOW
from .errors import SecretsError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

    from ._asking import Host

__all__ = ["AsyncUIHandler"]

# As long as a flow has for both of its halves.
_PATIENCE = 240.0


class AsyncUIHandler:
    """Shows one window, and waits for what is filled in.

    async with AsyncUIHandler() as window:
        window.start(template)
        answers = await window.wait()
    """

    def __init__(self) -> None:
        self._core = _core.Handler(WINDOW)
        self._host: Host | None = None
        self._showing: _core.Showing | None = None

    def start(self, template: Mapping[str, Any], *, timeout: float = _PATIENCE) -> None:
        """Shows the window of `template` and returns at once. It closes after `timeout` seconds, in which
        other windows may stand before it.

        Raises InvalidInput where it is no template, WindowUnavailable where there is no window.
        """
        import asyncio

        from . import _asking

        if self._showing is not None:
            raise RuntimeError("this handler has shown its window")
        host = _asking.Host(asyncio.get_running_loop(), None)
        self._showing = self._core.start(host, _asking.to_json(template), timeout)
        # Whoever never waits is not warned of what came of it.
        host.outcome.add_done_callback(lambda outcome: outcome.cancelled() or outcome.exception())
        self._host = host

    async def wait(self) -> dict[str, _core.Secret]:
        """What was filled in, by the names of the fields; the choice is `answer` where consent was asked for.
        To cancel this leaves the window open.

        Raises WindowClosed or WindowTimeout.
        """
        import asyncio

        if self._host is None:
            raise RuntimeError("no window was started")
        answers: dict[str, _core.Secret] = await asyncio.shield(self._host.outcome)
        return answers

    async def cancel(self) -> None:
        """Closes the window, and waits until nothing of it is left."""
        if self._showing is not None:
            self._showing.cancel()
            try:
                await self.wait()
            except SecretsError:
                pass

    async def __aenter__(self) -> AsyncUIHandler:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.cancel()
