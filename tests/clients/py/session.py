"""One session with the broker by the official Python SDK. Prints what it saw as JSON; the test that
started it judges.

session.py MODE stdio COMMAND [ARGUMENT..]      session.py MODE http URL TOKEN

MODE is `auto` (the newest era first) or `legacy` (`initialize`). Where ANSWERS is a list of words, the
client shows forms and gives these as the user's decisions, in turn.
"""

import asyncio
import json
import os
import sys

import httpx2
from mcp import Client, StdioServerParameters, types
from mcp.client.streamable_http import streamable_http_client


def server(kind, target, rest):
    if kind == "stdio":
        return StdioServerParameters(command=target, args=rest, env=dict(os.environ))
    http = httpx2.AsyncClient(headers={"authorization": f"Bearer {rest[0]}"}, trust_env=False)
    return streamable_http_client(target, http_client=http)


def plain(value):
    return value.model_dump(mode="json", by_alias=True, exclude_none=True)


async def main():
    mode, kind, target, *rest = sys.argv[1:]
    answers = json.loads(os.environ.get("ANSWERS", "null"))
    questions = []

    async def decide(context, params):
        questions.append(plain(params))
        return types.ElicitResult(action="accept", content={"decision": answers.pop(0)})

    forms = {} if answers is None else {"elicitation_callback": decide}
    async with Client(server(kind, target, rest), mode=mode, **forms) as client:
        seen = {
            "version": client.protocol_version,
            "server": plain(client.server_info) if client.server_info else None,
            "tools": plain(await client.list_tools())["tools"],
        }
        for step, call in json.loads(os.environ["CALLS"]).items():
            seen[step] = plain(await client.call_tool(call["tool"], call["input"]))
    print(json.dumps(seen | {"questions": questions}))


asyncio.run(main())
