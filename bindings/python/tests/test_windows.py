"""Windows of the real program, on a screen with a person who types."""

import asyncio
import os
import re
import signal
import subprocess
import sys
import unittest

import rig
from rig import CANARY, Answer, Context, allow
from test_servers import EXAMPLES, FASTMCP, Keyring, Person, client, said

from mcp_secrets import (
    AsyncUIHandler,
    InvalidInput,
    MCPSecretsManager,
    PermissionDenied,
    WindowClosed,
    needs_secrets,
)
from mcp_secrets.fetcher import fetch_secrets

INFO = {
    "username": {"label": "Username", "field_type": "text", "required": True},
    "password": {"label": "Password", "field_type": "password", "required": True},
    "endpoint": {"label": "API Endpoint", "field_type": "url"},
}
QUESTION = re.compile(
    r"Secrets Requested \[Code: ([A-HJ-NP-Z2-9]{4}-[A-HJ-NP-Z2-9]{4})\] - Click 'Continue' when finished"
)


def manager(name):
    named = MCPSecretsManager()
    named.initialize(name)
    return named


class OnScreen(unittest.IsolatedAsyncioTestCase):
    screen = rig.Screen()

    async def asyncTearDown(self):
        await self.screen.gone("MCP Secrets")

    async def fill(self, title):
        await self.screen.window(title)
        self.screen.type("me")
        self.screen.press("Return")
        self.screen.type(CANARY)
        await self.screen.submit(title)


class Fetching(OnScreen):
    async def test_what_a_person_types_is_stored_whoever_finishes_first(self):
        for order in ["window", "client"]:
            with self.subTest(order):
                secrets = manager(f"Order {order}")
                go_on = asyncio.Event()

                async def answer(message):
                    await go_on.wait()
                    return Answer("accept", True)

                context = Context(answer)
                if order == "client":
                    go_on.set()
                call = asyncio.create_task(fetch_secrets(context, INFO, manager=secrets))
                await self.fill(f"MCP Secrets for Order {order}")
                await self.screen.gone("MCP Secrets")
                if order == "window":
                    self.assertEqual(secrets.list_secrets(), [], "the client has not accepted yet")
                    go_on.set()
                self.assertEqual(await call, (True, "Stored 2 secrets"))
                self.assertEqual(secrets.retrieve_secret("username"), "me")
                self.assertEqual(secrets.retrieve_secret("password"), CANARY)
                self.assertEqual(secrets.list_secrets(), ["password", "username"])
                [(question, _)] = context.asked
                self.assertRegex(question, QUESTION)
                code = QUESTION.fullmatch(question)[1]
                self.assertFalse(any(code in told for told in context.told))
                self.assertNotIn("canary", question + repr(context.told))

    async def test_whoever_says_no_ends_both_and_nothing_is_stored(self):
        secrets = manager("No")
        window = "MCP Secrets for No"

        async def no(action):
            await self.screen.window(window)
            return Answer(action)

        async def gone(message):
            await self.screen.window(window)
            raise ConnectionResetError

        async def unsupported(message):
            raise RuntimeError("this client has no forms")

        for answer in [lambda _: no("decline"), lambda _: no("cancel"), gone, unsupported]:
            ok, message = await fetch_secrets(Context(answer), INFO, manager=secrets)
            self.assertFalse(ok, message)
            await self.screen.gone(window)

        given_up = asyncio.Event()

        async def forever(message):
            try:
                await asyncio.Event().wait()
            finally:
                given_up.set()

        call = asyncio.create_task(fetch_secrets(Context(forever), INFO, manager=secrets))
        await self.screen.window(window)
        self.screen.press("Escape")
        ok, message = await call
        self.assertFalse(ok)
        self.assertIn("closed", message)
        await asyncio.wait_for(given_up.wait(), rig.PATIENCE)
        self.assertEqual(secrets.list_secrets(), [])

    async def test_cancelling_the_call_closes_the_window_and_stores_nothing(self):
        secrets = manager("Cancelled")

        async def forever(message):
            await asyncio.Event().wait()

        for filled in [False, True]:
            call = asyncio.create_task(fetch_secrets(Context(forever), INFO, manager=secrets))
            if filled:
                await self.fill("MCP Secrets for Cancelled")
            else:
                await self.screen.window("MCP Secrets for Cancelled")
            call.cancel()
            with self.assertRaises(asyncio.CancelledError):
                await call
            await self.screen.gone("MCP Secrets")
            self.assertEqual(secrets.list_secrets(), [])

    async def test_a_decorated_tool_fetches_once_for_calls_at_the_same_time(self):
        secrets = manager("Once")

        @needs_secrets(info=INFO, manager=secrets)
        async def tool(ctx, username, password, endpoint):
            return username.reveal(), str(password), endpoint

        context = Context(*[allow()] * 5)
        calls = [asyncio.create_task(tool(context)) for _ in range(2)]
        await self.fill("MCP Secrets for Once")
        self.assertEqual(await asyncio.gather(*calls), [("me", "***", None)] * 2)
        self.assertEqual(len(context.asked), 5)


class Consent(OnScreen):
    """Where the client cannot ask, a window does."""

    async def test_the_window_asks_where_the_client_cannot(self):
        secrets = manager("Consent")
        secrets.store_secret("token", CANARY)
        for press, allowed in [(["Tab", "Return"], True), (["Return"], False), (["Escape"], False)]:
            with self.subTest(press):
                call = secrets.retrieve_secret_with_permission("token", object(), "to test it")
                call = asyncio.create_task(call)
                await self.screen.window("MCP Secrets for Consent")
                # Whoever allows is heard after the dead time; whoever presses again is as well.
                while not call.done():
                    await asyncio.sleep(1)
                    if self.screen.shown("MCP Secrets for Consent"):
                        self.screen.press(*press)
                if allowed:
                    self.assertEqual(await call, CANARY)
                else:
                    with self.assertRaises(PermissionDenied):
                        await call


class Handler(OnScreen):
    TEMPLATE = {
        "title": "MCP Secrets by hand",
        "description": "<b>no markup</b>",
        "fields": [{"name": "user", "label": "User"}],
    }

    async def test_a_window_is_shown_waited_for_and_closed(self):
        async with AsyncUIHandler() as window:
            window.start(self.TEMPLATE)
            await self.screen.window("by hand")
            self.screen.type("me")
            await self.screen.submit("by hand")
            answers = await window.wait()
        self.assertEqual({name: value.reveal() for name, value in answers.items()}, {"user": "me"})
        self.assertEqual(repr(answers), "{'user': ***}")

        window = AsyncUIHandler()
        window.start(self.TEMPLATE)
        await self.screen.window("by hand")
        await window.cancel()
        self.assertEqual(rig.programs(), [])
        with self.assertRaises(WindowClosed):
            await window.wait()

    async def test_a_template_that_is_none_is_refused_and_shows_nothing(self):
        fields = [{"name": f"n{number}"} for number in range(1_000)]
        for template in [
            {},
            {"title": "x", "fields": [{"name": "__proto__"}]},
            {"title": "x", "fields": [{"name": "a"}, {"name": "a"}]},
            {"title": "x", "fields": fields},
            {"title": "x", "fields": [{"name": "a", "label": CANARY * 100_000}]},
            {"title": "x", "fields": [{"name": "a", "field_type": "password", "default": CANARY}]},
            {"title": object()},
        ]:
            with self.assertRaises(InvalidInput) as raised:
                AsyncUIHandler().start(template)
            self.assertNotIn("canary", str(raised.exception))
        self.assertEqual(rig.programs(), [])

    async def test_windows_that_are_asked_for_at_once_are_shown_one_after_another(self):
        windows = [AsyncUIHandler() for _ in range(4)]
        for number, window in enumerate(windows):
            template = {**self.TEMPLATE, "title": f"MCP Secrets number {number}"}
            window.start(template)
        for number, window in enumerate(windows):
            await self.screen.window(f"number {number}")
            self.assertEqual(len(self.screen.shown("MCP Secrets number")), 1)
            self.screen.type(str(number))
            await self.screen.submit(f"number {number}")
            self.assertEqual((await window.wait())["user"].reveal(), str(number))

    async def test_a_window_does_not_outlive_its_process(self):
        code = """
import asyncio, sys
from mcp_secrets import AsyncUIHandler
async def main():
    window = AsyncUIHandler()
    window.start({"title": "MCP Secrets of a child", "fields": [{"name": "user"}]})
    print("shown", flush=True)
    if sys.argv[1] == "killed":
        await window.wait()
    await asyncio.to_thread(sys.stdin.readline)
asyncio.run(main())
"""
        for how in ["killed", "ended"]:
            child = subprocess.Popen(
                [sys.executable, "-c", code, how], stdin=subprocess.PIPE, stdout=subprocess.PIPE
            )
            child.stdout.readline()
            await self.screen.window("MCP Secrets of a child")
            if how == "killed":
                child.send_signal(signal.SIGKILL)
            child.communicate(b"\n", timeout=rig.PATIENCE)
            await self.screen.gone("MCP Secrets")


class Servers(OnScreen):
    """The example server with a real client, from nothing stored to a secret that is used."""

    async def test_the_example_fetches_a_key_and_uses_it(self):
        secrets = Keyring("My Server")

        async def typed(message):
            self.assertRegex(message, QUESTION)
            await self.screen.window("MCP Secrets for My Server")
            self.screen.type(CANARY)
            await self.screen.submit("MCP Secrets for My Server")
            return True

        person = Person(typed, "Allow")
        async with client(FASTMCP, person) as server:
            text = await said(server, "secure_api_request")
        self.assertEqual(text, f"✅ Making API request with key: {CANARY[:8]}...")
        self.assertEqual(secrets.value("api_key"), CANARY)
        self.assertNotIn("canary", repr(person.asked))

    async def test_a_client_that_leaves_closes_the_window_and_nothing_is_stored(self):
        secrets = Keyring("My Server")
        shown = asyncio.Event()

        async def leave(message):
            await self.screen.window("MCP Secrets for My Server")
            shown.set()
            await asyncio.Event().wait()

        async with client(FASTMCP, Person(leave)) as server:
            call = asyncio.create_task(said(server, "secure_api_request"))
            await asyncio.wait_for(shown.wait(), rig.PATIENCE)
            call.cancel()
        await self.screen.gone("MCP Secrets")
        self.assertEqual(secrets.names(), [])

    async def test_a_server_that_is_killed_takes_its_window_along(self):
        secrets = Keyring("My Server")
        code = (EXAMPLES / "server.py").read_text() + (
            "\nimport asyncio\n"
            "class Waits:\n"
            "    async def elicit(self, message, answers):\n"
            "        await asyncio.Event().wait()\n"
            "asyncio.run(fetch_secrets(Waits(), SECRETS_INFO))\n"
        )
        server = subprocess.Popen([sys.executable, "-c", code])
        await self.screen.window("MCP Secrets for My Server")
        os.kill(server.pid, signal.SIGKILL)
        server.wait(rig.PATIENCE)
        await self.screen.gone("MCP Secrets")
        self.assertEqual(secrets.names(), [])


if __name__ == "__main__":
    rig.main()
