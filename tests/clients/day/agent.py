"""An agent by the official Python SDK that does what it is told: a line of JSON on stdin for each call,
{"tool": NAME, "input": {..}, "again": WHETHER}, and a line for each answer, {"answer": {..}, "times": N}.

agent.py MODE, where MODE is `auto` (the newest era first) or `legacy` (`initialize`). SERVER is what a
client's configuration says of the broker: {"command": .., "args": [..]} or {"url": .., "token": ..}. With
`again` the agent says {"asked": {..}} where a person has to answer first, and calls until one has.
"""

import asyncio
import json
import os
import sys

import httpx2
from mcp import Client, StdioServerParameters
from mcp.client.streamable_http import streamable_http_client


def server(entry):
    if "command" in entry:
        return StdioServerParameters(
            command=entry["command"], args=entry["args"], env=dict(os.environ)
        )
    headers = {"authorization": f"Bearer {entry['token']}"}
    http = httpx2.AsyncClient(headers=headers, trust_env=False)
    return streamable_http_client(entry["url"], http_client=http)


def say(line):
    print(json.dumps(line), flush=True)


async def call(client, order):
    times = 0
    while True:
        answer = await client.call_tool(order["tool"], order["input"])
        times += 1
        error = (answer.structured_content or {}).get("error") or {}
        if not order.get("again") or error.get("retry") != "ask":
            return {"answer": answer.model_dump(mode="json", by_alias=True), "times": times}
        if times == 1:
            say({"asked": error})
        await asyncio.sleep(0.1)


async def main():
    entry = json.loads(os.environ.pop("SERVER"))
    async with Client(server(entry), mode=sys.argv[1]) as client:
        tools = await client.list_tools()
        say({"version": client.protocol_version, "tools": [tool.name for tool in tools.tools]})
        while line := await asyncio.to_thread(sys.stdin.readline):
            say(await call(client, json.loads(line)))


asyncio.run(main())
