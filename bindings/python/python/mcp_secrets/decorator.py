"""Tools that say which secrets they need, and get them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Callable

from ._manager import MCPSecretsManager, secrets_manager
from .errors import SecretsError, SecretsMissing

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Awaitable, Mapping, MutableMapping

    from ._core import Secret
    from ._types import Context, SecretInfo

__all__ = ["needs_secrets"]


def needs_secrets(
    *names: str,
    info: Mapping[str, SecretInfo] | None = None,
    reason: str | None = None,
    manager: MCPSecretsManager | None = None,
) -> Callable[[Callable[..., Any]], Callable[..., Awaitable[Any]]]:
    """Hands a tool the secrets `names`, each as a `Secret` in the keyword argument of its name.

        @mcp.tool
        @needs_secrets("api_key", reason="Authentication with external API")
        async def call(ctx: Context, path: str, api_key: Secret) -> str: ...

    Missing ones are fetched from a person first, and a person must allow the use of each. `info` says how
    they are asked for; without names, all of it is needed. Clients see nothing of these arguments. Where a
    name is no identifier, its argument has `_` for the other characters. A secret that is not required and
    that the person left empty is None.

    In the tool's place, SecretsMissing or PermissionDenied is raised, or the framework's ToolError for it.
    """
    asked = {name: _info(name, info) for name in names or tuple(info or ())}
    if not asked:
        raise TypeError("needs_secrets needs the names of secrets")
    arguments = {name: _argument(name) for name in asked}

    def decorate(tool: Callable[..., Any]) -> Callable[..., Awaitable[Any]]:
        import functools
        import inspect

        hide = _hide(tool, set(arguments.values()))

        @functools.wraps(tool)
        async def with_secrets(*args: Any, **kwargs: Any) -> Any:
            ctx = _context([*args, *kwargs.values()])
            try:
                secrets = await _obtain(manager or secrets_manager, ctx, asked, reason)
            except SecretsError as error:
                raise _for_client(error, ctx)
            kwargs.update((arguments[name], secret) for name, secret in secrets.items())
            if inspect.iscoroutinefunction(tool):
                return await tool(*args, **kwargs)
            import asyncio

            # As the frameworks do: a tool that waits must not hold up the others.
            return await asyncio.to_thread(tool, *args, **kwargs)

        hide(with_secrets)
        return with_secrets

    return decorate


async def _obtain(
    manager: MCPSecretsManager, ctx: Context, asked: Mapping[str, SecretInfo], reason: str | None
) -> dict[str, Secret | None]:
    required = [name for name, info in asked.items() if info.get("required")]
    # Calls at the same time ask once.
    async with _turn():
        if not manager.ensure_secrets(required or asked):
            ok, message = await manager.fetch_secrets(ctx, asked)
            if not ok:
                raise SecretsMissing(message, "secrets_missing")
    secrets = {}
    for name in asked:
        secrets[name] = await manager._retrieve(name, ctx, reason)
        if secrets[name] is None and name in required:
            raise SecretsMissing(f"the secret `{name}` is not stored", "secrets_missing")
    return secrets


_turns: MutableMapping[Any, asyncio.Lock] | None = None


def _turn() -> asyncio.Lock:
    import asyncio
    from weakref import WeakKeyDictionary

    global _turns
    if _turns is None:
        _turns = WeakKeyDictionary()
    return _turns.setdefault(asyncio.get_running_loop(), asyncio.Lock())


def _info(name: str, info: Mapping[str, SecretInfo] | None) -> SecretInfo:
    if info is not None and name in info:
        return info[name]
    label = name.replace("_", " ").replace("-", " ").capitalize()
    return {"label": label, "field_type": "password", "required": True}


def _argument(name: str) -> str:
    argument = "".join(each if each.isalnum() else "_" for each in name)
    return argument if argument.isidentifier() else f"_{argument}"


def _context(values: list[Any]) -> Context:
    for value in values:
        if callable(getattr(value, "elicit", None)):
            context: Context = value
            return context
    raise TypeError("a tool that needs secrets needs its context, too: give it a parameter `ctx: Context`")


def _for_client(error: SecretsError, ctx: Context) -> Exception:
    """The error as the framework of `ctx` passes it on to the client: others it may keep to itself."""
    import sys

    for base in type(ctx).__mro__:
        package = base.__module__
        while package:
            module = sys.modules.get(f"{package}.exceptions")
            tool_error = getattr(module, "ToolError", None)
            if isinstance(tool_error, type) and issubclass(tool_error, Exception):
                return tool_error(str(error))
            package = package.rpartition(".")[0]
    return error


def _hide(tool: Callable[..., Any], arguments: set[str]) -> Callable[[Any], None]:
    """Checks that `tool` takes these arguments; what it returns hides them from whoever asks a function for
    its parameters, as frameworks do to tell clients."""
    import inspect
    import typing

    signature = inspect.signature(tool)
    parameters = signature.parameters.values()
    takes_any = any(each.kind is each.VAR_KEYWORD for each in parameters)
    by_name = {each.name for each in parameters if each.kind in (each.POSITIONAL_OR_KEYWORD, each.KEYWORD_ONLY)}
    for argument in sorted(arguments - by_name):
        if not takes_any:
            raise TypeError(f"the tool has no parameter `{argument}` for the secret")
    try:
        # In the namespace of the tool: nobody finds it from the function around it.
        hints = typing.get_type_hints(tool, include_extras=True)
    except Exception:
        hints = dict(getattr(tool, "__annotations__", {}))
    shown = [
        each.replace(annotation=hints.get(each.name, each.annotation))
        for each in parameters
        if each.name not in arguments
    ]
    result = hints.get("return", signature.return_annotation)

    def hide(function: Any) -> None:
        function.__signature__ = signature.replace(parameters=shown, return_annotation=result)
        function.__annotations__ = {name: hint for name, hint in hints.items() if name not in arguments}

    return hide
