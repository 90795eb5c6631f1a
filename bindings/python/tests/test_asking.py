"""The leave to use a secret, and the flow that fetches one: by contexts of no framework, so that every answer
can be given, at every time."""

import asyncio
import unittest

import rig
from rig import CANARY, Answer, Context, allow

from mcp_secrets import MCPSecretsManager, PermissionDenied, Secret, SecretsMissing, needs_secrets
from mcp_secrets.fetcher import fetch_secrets

CHOICES = ["Allow", "Allow for Session", "Deny"]


def manager(name, **values):
    named = MCPSecretsManager()
    named.initialize(name)
    for key, value in values.items():
        named.store_secret(key, value)
    return named


class Permission(unittest.IsolatedAsyncioTestCase):
    async def test_who_allows_is_asked_each_time_and_told_why(self):
        secrets, context = manager("Asks", token=CANARY), Context(allow(), allow())
        value = await secrets.retrieve_secret_with_permission("token", context, "to call home")
        self.assertEqual(value, CANARY)
        value = await secrets.retrieve_secret_with_permission("token", context, reason="again")
        self.assertEqual(value, CANARY)
        self.assertEqual(
            context.asked,
            [
                ("Asks wants to use token\nReason: to call home", CHOICES),
                ("Asks wants to use token\nReason: again", CHOICES),
            ],
        )

    async def test_the_session_is_asked_once_for_each_secret(self):
        secrets = manager("Session", token=CANARY, other="x")
        context = Context(allow("Allow for Session"), allow())
        for _ in range(3):
            self.assertEqual(await secrets.retrieve_secret_with_permission("token", context), CANARY)
        await secrets.retrieve_secret_with_permission("other", context)
        self.assertEqual(len(context.asked), 2)
        with self.assertRaises(PermissionDenied):
            again = manager("Session")
            await again.retrieve_secret_with_permission("token", Context(Answer("decline")))

    async def test_everything_but_the_exact_answers_is_a_no(self):
        secrets = manager("Denies", token=CANARY)
        for answer in [
            *map(allow, ["Deny", "deny", "DENY ", "allow", "ALLOW", " Allow", "Allow ", "", None, True]),
            *map(allow, [["Allow"], {"value": ["Allow"]}, {"value": "allow"}, {"answer": "Allow"}, 1]),
            allow(Secret("Allow")),
            Answer("decline", "Allow"),
            Answer("cancel", "Allow"),
            Answer("ACCEPT", "Allow"),
            Answer("accepted", "Allow"),
            {"action": "decline", "content": {"value": "Allow"}},
            "Deny",
            None,
            ["Allow"],
            ValueError(f"not one of them: {CANARY}"),
            ConnectionResetError(CANARY),
        ]:
            with self.subTest(repr(answer)), self.assertRaises(PermissionDenied) as raised:
                await secrets.retrieve_secret_with_permission("token", Context(answer))
            self.assertEqual(raised.exception.code, "permission_denied")
            self.assertNotIn("canary", str(raised.exception))

    async def test_the_shapes_in_which_frameworks_answer_are_understood(self):
        class Model:
            value = "Allow"

        secrets = manager("Shapes", token=CANARY)
        for answer in [
            allow("Allow"),
            allow(Model()),
            allow({"value": "Allow"}),
            {"action": "accept", "content": {"value": "Allow"}},
            {"action": "accept", "data": "Allow"},
            "Allow",
        ]:
            with self.subTest(repr(answer)):
                value = await secrets.retrieve_secret_with_permission("token", Context(answer))
                self.assertEqual(value, CANARY)

    async def test_a_context_that_does_not_wait_and_logs_elsewhere_will_do(self):
        class Shim:
            class log:
                info = staticmethod(lambda text: None)

            def elicit(self, message, answers):
                return {"action": "accept", "content": {"value": "Allow"}}

        secrets = manager("Shim", token=CANARY)
        self.assertEqual(await secrets.retrieve_secret_with_permission("token", Shim()), CANARY)

    async def test_a_secret_that_is_not_there_is_none_and_nobody_is_asked(self):
        context = Context()
        secrets = manager("Nothing")
        self.assertIsNone(await secrets.retrieve_secret_with_permission("token", context))
        self.assertEqual(context.asked, [])

    async def test_a_client_that_cannot_ask_and_no_window_deny(self):
        secrets = manager("Neither", token=CANARY)

        class NoElicitation:
            pass

        for context in [NoElicitation(), Context(RuntimeError(f"unsupported {CANARY}"))]:
            with self.assertRaises(PermissionDenied) as raised:
                await secrets.retrieve_secret_with_permission("token", context)
            self.assertNotIn("canary", str(raised.exception))

    async def test_cancelling_the_call_gives_the_question_up(self):
        secrets = manager("Cancelled", token=CANARY)
        given_up = asyncio.Event()

        async def wait(message):
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                given_up.set()
                raise

        context = Context(lambda message: wait(message), allow())
        call = asyncio.create_task(secrets.retrieve_secret_with_permission("token", context))
        await rig.soon("asked", lambda: context.asked)
        call.cancel()
        with self.assertRaises(asyncio.CancelledError):
            await call
        await asyncio.wait_for(given_up.wait(), rig.PATIENCE)
        self.assertEqual(await secrets.retrieve_secret_with_permission("token", context), CANARY)

    async def test_a_framework_that_cancels_its_own_question_denies(self):
        secrets = manager("Its own", token=CANARY)

        async def cancelled(message):
            raise asyncio.CancelledError

        with self.assertRaises(PermissionDenied):
            await secrets.retrieve_secret_with_permission("token", Context(cancelled))

    async def test_many_calls_at_once_are_each_asked(self):
        secrets, context = manager("Many", token=CANARY), Context(*[allow()] * 50)
        calls = [secrets.retrieve_secret_with_permission("token", context) for _ in range(50)]
        self.assertEqual(await asyncio.gather(*calls), [CANARY] * 50)
        self.assertEqual(len(context.asked), 50)

    async def test_the_bypass_skips_the_question_and_warns(self):
        code = (
            "import asyncio\n"
            "from mcp_secrets import secrets_manager as s\n"
            "s.initialize('Bypass')\n"
            "print(asyncio.run(s.retrieve_secret_with_permission('token', object())))"
        )
        manager("Bypass", token="abc123")
        printed, warned = rig.python(code, MCP_BYPASS_SECRET_USE_CONFIRM="true")
        self.assertEqual(printed, "abc123\n")
        self.assertIn("MCP_BYPASS_SECRET_USE_CONFIRM=true", warned)
        for other in ["TRUE", "1", "yes", "true "]:
            with self.subTest(other):
                rig.python(code, MCP_BYPASS_SECRET_USE_CONFIRM=other, expect=1)


class Fetching(unittest.IsolatedAsyncioTestCase):
    INFO = {"api_key": {"label": "API Key", "field_type": "password", "required": True}}

    async def test_what_is_there_is_not_asked_for(self):
        secrets, context = manager("There", api_key=CANARY), Context()
        self.assertEqual((await fetch_secrets(context, self.INFO, manager=secrets))[0], True)
        self.assertEqual(context.asked, [])

    async def test_without_elicitation_nothing_is_fetched_and_the_reason_is_said(self):
        secrets = manager("No elicitation")
        ok, message = await fetch_secrets(object(), self.INFO, manager=secrets)
        self.assertFalse(ok)
        self.assertIn("elicit", message)
        self.assertEqual(secrets.list_secrets(), [])

    async def test_without_a_window_nothing_is_fetched_and_the_client_is_not_asked(self):
        secrets, context = manager("No window"), Context()
        ok, message = await fetch_secrets(context, self.INFO, manager=secrets)
        self.assertFalse(ok)
        self.assertIn("window", message)
        self.assertEqual((context.asked, secrets.list_secrets()), ([], []))

    async def test_what_is_no_description_of_secrets_is_said_and_not_quoted(self):
        secrets = manager("Descriptions")
        for info in [
            {},
            {"__secret_index__": {}},
            {"api_key": {CANARY: 1}},
            {"api_key": {"field_type": CANARY}},
            {"api_key": {"field_type": "password", "default": CANARY}},
            {"api_key": {"label": object()}},
            {str(number): {} for number in range(1_000)},
            {"api_key": {"label": CANARY * 100_000}},
            {"api_key": {"required": float("nan")}},
        ]:
            with self.subTest(str(info)[:60]):
                ok, message = await fetch_secrets(Context(), info, manager=secrets)
                self.assertFalse(ok)
                self.assertNotIn("canary", message)


class Decorator(unittest.IsolatedAsyncioTestCase):
    async def test_a_tool_gets_its_secrets_and_its_clients_see_nothing_of_them(self):
        import inspect

        secrets = manager("Tool", **{"api_key": CANARY, "user-name": "me"})

        @needs_secrets("api_key", "user-name", reason="to log in", manager=secrets)
        async def call(ctx, path: str, *, api_key: Secret, user_name: Secret) -> str:
            """Calls."""
            self.assertIsInstance(api_key, Secret)
            return f"{path} {api_key} {user_name.reveal()}"

        self.assertEqual(list(inspect.signature(call).parameters), ["ctx", "path"])
        self.assertEqual(set(call.__annotations__), {"path", "return"})
        self.assertEqual((call.__name__, call.__doc__), ("call", "Calls."))
        context = Context(allow(), allow())
        self.assertEqual(await call(context, "/a"), "/a *** me")
        self.assertEqual(
            [message for message, _ in context.asked],
            [
                "Tool wants to use api_key\nReason: to log in",
                "Tool wants to use user-name\nReason: to log in",
            ],
        )

    async def test_a_tool_that_is_refused_its_secrets_does_not_run(self):
        secrets, ran = manager("Refused", api_key=CANARY), []

        @needs_secrets("api_key", manager=secrets)
        def call(ctx, api_key):
            ran.append(api_key.reveal())

        with self.assertRaises(PermissionDenied):
            await call(Context(allow("Deny")))
        self.assertEqual(ran, [])
        await call(ctx=Context(allow()))
        self.assertEqual(ran, [CANARY])

    async def test_secrets_that_nobody_gives_are_said_to_be_missing(self):
        @needs_secrets("api_key", manager=manager("Missing"))
        async def call(ctx, api_key):
            raise AssertionError("it must not run")

        with self.assertRaises(SecretsMissing) as raised:
            await call(object.__new__(type("NoWindow", (Context,), {"asked": []})))
        self.assertEqual(raised.exception.code, "secrets_missing")

    def test_a_tool_without_room_for_a_secret_is_refused_at_once(self):
        for names, tool in [(["api_key"], lambda ctx: None), ([], lambda ctx, **rest: None)]:
            with self.assertRaises(TypeError):
                needs_secrets(*names)(tool)
        needs_secrets("api_key")(lambda ctx, **rest: None)


if __name__ == "__main__":
    rig.main()
