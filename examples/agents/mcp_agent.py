"""An agent that meets Strongroom by the official MCP SDK for Python (`pip install mcp`), in either era.

    STRONGROOM_URL=http://127.0.0.1:8443 STRONGROOM_KEY=mcp_... python3 mcp_agent.py SERVICE PATH [auto|legacy]
"""

import asyncio
import json
import os
import sys

import httpx2
from mcp import Client
from mcp.client.streamable_http import streamable_http_client


async def main(service, path, mode="auto"):
    http = httpx2.AsyncClient(headers={"X-API-Key": os.environ["STRONGROOM_KEY"]}, trust_env=False)
    server = streamable_http_client(os.environ["STRONGROOM_URL"] + "/mcp", http_client=http)
    seen = {}
    async with Client(server, mode=mode) as client:
        seen["version"] = client.protocol_version
        seen["tools"] = [tool.name for tool in (await client.list_tools()).tools]
        for name, method, target in [
            ("answer", "GET", service),
            ("forbidden", "DELETE", service),
            ("unknown", "GET", "no-such-service"),
        ]:
            call = {"service": target, "method": method, "path": path}
            result = await client.call_tool("execute", call)
            content = result.structured_content
            seen[name] = content["error"]["code"] if result.is_error else content
    print(json.dumps(seen))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
