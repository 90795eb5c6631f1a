"""As session.py, by FastMCP's client.

fastmcp_session.py stdio COMMAND [ARGUMENT..]      fastmcp_session.py http URL TOKEN
"""

import asyncio
import json
import os
import sys

from fastmcp import Client
from fastmcp.client.transports import StdioTransport, StreamableHttpTransport


def server(kind, target, rest):
    if kind == "stdio":
        return StdioTransport(command=target, args=rest, env=dict(os.environ))
    return StreamableHttpTransport(target, headers={"authorization": f"Bearer {rest[0]}"})


def plain(value):
    return value.model_dump(mode="json", by_alias=True, exclude_none=True)


async def main():
    async with Client(server(*sys.argv[1:3], sys.argv[3:])) as client:
        seen = {"tools": [plain(tool) for tool in await client.list_tools()]}
        for step, call in json.loads(os.environ["CALLS"]).items():
            seen[step] = plain(await client.call_tool_mcp(call["tool"], call["input"]))
    print(json.dumps(seen))


asyncio.run(main())
