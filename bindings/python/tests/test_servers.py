"""Servers of both frameworks as their authors wrote them, with real clients over stdio."""

import json
import os
import pathlib
import sys
import unittest

import keyring
import keyring.backends.SecretService
from fastmcp import Client
from fastmcp.client.elicitation import ElicitResult
from fastmcp.client.transports import StdioTransport
from fastmcp.exceptions import ToolError

import rig
from rig import CANARY

EXAMPLES = pathlib.Path(__file__).parents[3] / "examples/servers/python"
FASTMCP = [sys.executable, "-m", "fastmcp.cli", "run", "--no-banner", str(EXAMPLES / "server.py")]
INDEX = "__secret_index__"
OFFICIAL = [sys.executable, str(EXAMPLES / "decorated.py")]


class Person:
    """Whoever sits at the client: decides, and keeps what was asked."""

    def __init__(self, *answers):
        self.answers, self.asked = list(answers), []

    async def __call__(self, message, response_type, params, context):
        self.asked.append((message, params.requested_schema))
        answer = self.answers.pop(0)
        if callable(answer):
            answer = await answer(message)
        if answer in ("decline", "cancel"):
            return ElicitResult(action=answer)
        return ElicitResult(action="accept", content={"value": answer})


def client(command, person=None, mode="legacy", **variables):
    """A client of the era in which servers ask in the middle of a call, or of the newest."""
    program, *arguments = command
    environment = {**os.environ, **variables}
    transport = StdioTransport(program, arguments, env=environment, keep_alive=False)
    return Client(transport, mode=mode, elicitation_handler=person)


class Keyring:
    """The secrets of a server as another implementation of the layout sees them: whoever is asked here is
    not the program that the name belongs to."""

    def __init__(self, server, **values):
        keyring.set_keyring(keyring.backends.SecretService.Keyring())
        self.service = f"com.mcp.{server}"
        for name in self.names():
            keyring.delete_password(self.service, name)
        for name, value in values.items():
            keyring.set_password(self.service, name, value)
        keyring.set_password(self.service, INDEX, json.dumps(list(values)))

    def names(self):
        return json.loads(keyring.get_password(self.service, INDEX) or "[]")

    def value(self, name):
        return keyring.get_password(self.service, name)


async def said(client, tool, arguments=None):
    try:
        result = await client.call_tool(tool, arguments or {})
        return result.content[0].text
    except ToolError as error:
        return f"refused: {error}"


class FastMcp(unittest.IsolatedAsyncioTestCase):
    """The example of the README, run by `fastmcp run`."""

    async def call(self, person=None, times=1, **how):
        async with client(FASTMCP, person, **how) as server:
            tools = await server.list_tools()
            self.assertEqual([tool.name for tool in tools], ["secure_api_request"])
            return [await said(server, "secure_api_request") for _ in range(times)]

    async def test_a_person_who_allows_is_asked_for_each_use(self):
        Keyring("My Server", api_key=CANARY)
        person = Person("Allow", "Deny", "Allow for Session")
        first, second, *rest = await self.call(person, times=5)
        self.assertEqual(first, f"✅ Making API request with key: {CANARY[:8]}...")
        self.assertIn("❌ Secret access failed", second)
        self.assertIn("denied", second)
        self.assertEqual(rest, [first] * 3)
        message, schema = person.asked[0]
        reason = "Reason: Authentication with external API"
        self.assertEqual(message, f"My Server wants to use api_key\n{reason}")
        choices = schema["properties"]["value"]["enum"]
        self.assertEqual(choices, ["Allow", "Allow for Session", "Deny"])
        self.assertEqual(len(person.asked), 3)

    async def test_everything_but_the_exact_answers_is_a_no(self):
        Keyring("My Server", api_key=CANARY)
        answers = ["deny", "DENY ", "allow", "", "decline", "cancel", ["Allow"], 1]
        for text in await self.call(Person(*answers), times=len(answers)):
            self.assertTrue(text.startswith("refused: "), text)
            self.assertNotIn("canary", text)

    async def test_a_client_that_cannot_be_asked_gets_no_secret(self):
        for mode in ["legacy", "auto"]:
            with self.subTest(mode):
                Keyring("My Server", api_key=CANARY)
                [text] = await self.call(mode=mode)
                self.assertTrue(text.startswith("refused: "), text)
                self.assertNotIn("canary", text)

                secrets = Keyring("My Server")
                [text] = await self.call(mode=mode)
                self.assertIn("elicitation", text)
                self.assertEqual(secrets.names(), [])


class Official(unittest.IsolatedAsyncioTestCase):
    """The same by the official SDK and the decorator."""

    async def test_the_decorator_hands_secrets_over_and_clients_see_nothing_of_them(self):
        Keyring("My Other Server", api_key=CANARY, endpoint="https://api.example.org")
        person = Person("Allow", "Allow", "Deny")
        async with client(OFFICIAL, person) as server:
            [tool] = await server.list_tools()
            self.assertEqual(list(tool.input_schema["properties"]), ["path"])
            allowed = await said(server, "request", {"path": "/v1"})
            denied = await said(server, "request", {"path": "/v1"})
        expected = f"GET https://api.example.org/v1 with ***, {len(CANARY)} characters long"
        self.assertEqual(allowed, expected)
        self.assertIn("was not allowed", denied)
        choices = person.asked[0][1]["properties"]["value"]["enum"]
        self.assertEqual(choices, ["Allow", "Allow for Session", "Deny"])

    async def test_a_client_that_cannot_be_asked_gets_no_secret(self):
        Keyring("My Other Server")
        for mode in ["legacy", "auto"]:
            async with client(OFFICIAL, mode=mode) as server:
                text = await said(server, "request", {"path": "/v1"})
            self.assertIn("elicitation", text)


if __name__ == "__main__":
    rig.main()
