"""The example server with the decorator, by the official SDK."""

from mcp.server.mcpserver import Context, MCPServer

from mcp_secrets import Secret, needs_secrets, secrets_manager

SECRETS_INFO = {
    "api_key": {"label": "API Key", "field_type": "password", "required": True},
    "endpoint": {"label": "API Endpoint", "field_type": "url"},
}

mcp = MCPServer("My Other Server")
secrets_manager.initialize(mcp.name)


@mcp.tool()
@needs_secrets(info=SECRETS_INFO, reason="Authentication with external API")
async def request(path: str, ctx: Context, api_key: Secret, endpoint: "Secret | None") -> str:
    """Calls the API; what the tool needs comes as a `Secret`, which prints as ***."""
    where = endpoint.reveal() if endpoint else "https://api.example.com"
    return f"GET {where}{path} with {api_key}, {len(api_key.reveal())} characters long"


if __name__ == "__main__":
    mcp.run()
