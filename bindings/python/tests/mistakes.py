"""What a type checker must find."""

from mcp_secrets import secrets_manager
from mcp_secrets.fetcher import fetch_secrets

secrets_manager.store_secret("token", 1)  # E: arg-type
secrets_manager.retrieve_secret("token")[:8]  # E: index
secrets_manager.retrieve("token")  # E: attr-defined


async def main() -> None:
    await fetch_secrets(object(), {})  # E: arg-type
    await fetch_secrets(None, {"a": {"field_type": "number"}})  # E: arg-type, typeddict-item
