"""Code of a server's author, as a type checker sees it."""

from __future__ import annotations

import asyncio
from typing import Any

from mcp_secrets import (
    AsyncUIHandler,
    MCPSecretsManager,
    MCPSecretsStorage,
    Secret,
    SecretsError,
    needs_secrets,
    secrets_manager,
)
from mcp_secrets.fetcher import fetch_secrets


class Shim:
    async def elicit(self, message: str, answers: Any) -> dict[str, Any]:
        return {"action": "accept", "content": {"value": "Allow"}}


@needs_secrets("api_key", info={"api_key": {"label": "API Key", "field_type": "password"}})
async def tool(ctx: Shim, api_key: Secret) -> str:
    return api_key.reveal()


async def main() -> None:
    secrets_manager.initialize("Sample", cache=True)
    secrets_manager.store_secret("token", Secret("abc123"))
    value: str | None = secrets_manager.retrieve_secret("token")
    names: list[str] = secrets_manager.list_secrets()
    there: bool = secrets_manager.ensure_secrets(names)
    ok, message = await fetch_secrets(Shim(), {"api_key": {"required": True}})
    asked: str | None = await secrets_manager.retrieve_secret_with_permission("token", Shim(), "why")
    print(value, there, ok, message.upper(), asked, await tool(Shim()))
    storage = MCPSecretsStorage("Sample")
    storage.delete_secret("token")
    async with AsyncUIHandler() as window:
        window.start({"title": "Sample", "fields": []}, timeout=60)
        answers: dict[str, Secret] = await window.wait()
        print(answers)
    try:
        MCPSecretsManager().clear_secrets()
    except SecretsError as error:
        print(error.code.upper())


asyncio.run(main())
