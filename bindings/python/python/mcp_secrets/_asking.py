"""Between the native half and asyncio: what a flow wants of the framework's context is done on the event
loop of the task that awaits it.

A context needs only `info(text)` (or `log.info(text)`) and `elicit(message, answers)`. The contexts of
FastMCP and of the official SDK are taken as they are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Callable

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Coroutine

    from ._core import Reply, Task

# What a client's connection says when it is closed (JSON-RPC, as the official SDK has it).
_CONNECTION_CLOSED = -32000
# From this version on a server cannot ask a client in the middle of a call.
_WITHOUT_BACK_CHANNEL = "2026-07-28"
# Streams of anyio that have lost their other end.
_LOST = frozenset({"BrokenResourceError", "ClosedResourceError", "EndOfStream"})


async def run(begin: Callable[[Host], Task], ctx: object) -> Any:
    """Awaits what `begin` starts. Whoever cancels this closes the window; nothing is stored then."""
    import asyncio

    host = Host(asyncio.get_running_loop(), ctx)
    task = begin(host)
    try:
        return await host.outcome
    finally:
        task.cancel()
        host.close()


class Host:
    """Whoever awaits a flow. `info`, `elicit` and `done` are called from other threads."""

    def __init__(self, loop: asyncio.AbstractEventLoop, ctx: object) -> None:
        import contextvars

        self._loop = loop
        self._ctx = ctx
        self._context = contextvars.copy_context()
        self._tasks: set[asyncio.Task[None]] = set()
        self.outcome: asyncio.Future[Any] = loop.create_future()
        self.elicits = can_elicit(ctx)

    def info(self, text: str, reply: Reply) -> None:
        self._schedule(lambda: self._info(text, reply))

    def elicit(self, message: str, choices: list[str], reply: Reply) -> None:
        self._schedule(lambda: self._elicit(message, choices, reply))

    def done(self, value: object, error: BaseException | None) -> None:
        self._loop.call_soon_threadsafe(self._done, value, error)

    def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        if not self.outcome.done():
            self.outcome.cancel()

    def _schedule(self, begin: Callable[[], Coroutine[Any, Any, None]]) -> None:
        def start() -> None:
            if self.outcome.done():
                return
            task = self._loop.create_task(begin())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

        # The framework knows by context variables which call this is.
        self._loop.call_soon_threadsafe(start, context=self._context)

    def _done(self, value: object, error: BaseException | None) -> None:
        if self.outcome.done():
            return
        if error is None:
            self.outcome.set_result(value)
        else:
            self.outcome.set_exception(error)

    async def _info(self, text: str, reply: Reply) -> None:
        try:
            await tell(self._ctx, text)
        except Exception:
            pass  # A client that does not listen can be asked all the same.
        finally:
            reply.give("accepted")

    async def _elicit(self, message: str, choices: list[str], reply: Reply) -> None:
        said: tuple[str, str | None] = ("cancelled", None)
        try:
            said = answer(await ask(self._ctx, message, choices))
        except Exception as error:
            said = (failure(error, choices), None)
        finally:
            reply.give(*said)


def can_elicit(ctx: object) -> bool:
    """Whether the client can be asked, as far as its session says beforehand."""
    if not callable(getattr(ctx, "elicit", None)):
        return False
    try:
        session: Any = ctx.session  # type: ignore[attr-defined]
        version = getattr(session, "protocol_version", None)
        if isinstance(version, str) and version >= _WITHOUT_BACK_CHANNEL:
            return False
        capabilities = getattr(session, "client_capabilities", None)
        if capabilities is None:
            capabilities = session.client_params.capabilities
        forms = capabilities.elicitation
        if forms is None:
            return False
        # A client that shows addresses only says so; one that says nothing shows forms.
        by_form, by_url = getattr(forms, "form", None), getattr(forms, "url", None)
        return by_form is not None or by_url is None
    except Exception:
        return True  # Nobody knows; the question itself will tell.


async def tell(ctx: object, text: str) -> None:
    import inspect

    info = getattr(ctx, "info", None)
    if not callable(info):
        info = getattr(getattr(ctx, "log", None), "info", None)
    if callable(info):
        told = info(text)
        if inspect.isawaitable(told):
            await told


async def ask(ctx: object, message: str, choices: list[str]) -> object:
    """Asks as the context's `elicit` wants to be called: its second parameter is a model in the official
    SDK (`schema`), and a list of texts, or `bool`, in FastMCP (`response_type`)."""
    import inspect

    elicit: Any = ctx.elicit  # type: ignore[attr-defined]
    wanted: object = list(choices) or bool
    if "schema" in inspect.signature(elicit).parameters:
        wanted = model(tuple(choices))
    asked = elicit(message, wanted)
    return await asked if inspect.isawaitable(asked) else asked


def model(choices: tuple[str, ...]) -> object:
    """A form with one field. Where there is nothing to choose, accepting it says all."""
    from typing import Literal

    from pydantic import create_model  # type: ignore[import-not-found, unused-ignore]

    fields: dict[str, Any] = {"value": (bool, True)}
    if choices:
        fields = {"value": (Literal[choices], ...)}
    return create_model("Answer", **fields)


def answer(result: object) -> tuple[str, str | None]:
    """What a framework's result says. Only a text is an answer, and only as it came."""
    if isinstance(result, str):
        return "accepted", result
    action = _part(result, "action")
    if action in ("decline", "reject"):
        return "declined", None
    if action == "cancel":
        return "cancelled", None
    if action != "accept":
        return "gone", None
    data = _part(result, "data")
    if data is None:
        data = _part(result, "content")
    if not isinstance(data, str):
        data = _part(data, "value")
    return "accepted", data if isinstance(data, str) else None


def _part(whole: object, name: str) -> object:
    if isinstance(whole, dict):
        return whole.get(name)
    return getattr(whole, name, None)


def failure(error: Exception, choices: list[str]) -> str:
    """What an exception of `elicit` means. Its text is the client's, and is not repeated."""
    if isinstance(error, ValueError):
        # It was accepted, and the answer is none of those asked for: no leave, but enough to go on.
        return "gone" if choices else "accepted"
    code = getattr(error, "code", None)
    if code is None:
        code = getattr(getattr(error, "error", None), "code", None)
    lost = isinstance(error, (ConnectionError, EOFError)) or type(error).__name__ in _LOST
    return "gone" if lost or code == _CONNECTION_CLOSED else "unsupported"


def to_json(value: object) -> str:
    """The text of what the native half reads as JSON. What cannot be written is not quoted."""
    import json

    from .errors import InvalidInput

    try:
        return json.dumps(value, default=_plain)
    except (TypeError, ValueError, RecursionError):
        pass
    raise InvalidInput("only texts, numbers and dictionaries of them can be shown", "invalid_secrets_info")


def _plain(value: object) -> object:
    from collections.abc import Mapping

    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError
