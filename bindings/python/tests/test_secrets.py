"""The keychain: kept, shared with other implementations, and never shown."""

import copy
import io
import json
import logging
import pickle
import traceback
import unittest

import keyring
import keyring.backends.SecretService

import rig
from rig import CANARY

import mcp_secrets
from mcp_secrets import (
    InvalidInput,
    KeychainAbsent,
    MCPSecretsManager,
    MCPSecretsStorage,
    NotInitialized,
    Secret,
    SecretsError,
)

INDEX = "__secret_index__"


def manager(name):
    named = MCPSecretsManager()
    named.initialize(name)
    return named


class Keychain(unittest.TestCase):
    def test_what_was_stored_is_found_listed_and_removed(self):
        secrets = manager("whole surface")
        self.assertEqual(secrets.list_secrets(), [])
        self.assertIsNone(secrets.retrieve_secret("token"))
        self.assertFalse(secrets.secret_exists("token"))

        secrets.store_secret("token", "abc123")
        secrets.store_secret("password", Secret("päss ✓"))
        self.assertEqual(secrets.retrieve_secret("token"), "abc123")
        self.assertEqual(secrets.retrieve_secret("password"), "päss ✓")
        self.assertEqual(secrets.list_secrets(), ["password", "token"])
        self.assertTrue(secrets.ensure_secrets(["password", "token"]))
        self.assertTrue(secrets.ensure_secrets(name for name in ["token"]))
        self.assertTrue(secrets.ensure_secrets("token"))
        self.assertFalse(secrets.ensure_secrets(["password", "endpoint"]))

        secrets.store_secret("token", "def456")
        self.assertEqual(secrets.retrieve_secret("token"), "def456")
        self.assertTrue(secrets.delete_secret("token"))
        self.assertFalse(secrets.delete_secret("token"))
        secrets.clear_secrets()
        self.assertEqual(secrets.list_secrets(), [])

    def test_servers_do_not_see_each_others_secrets(self):
        one, two = manager("one"), manager("two")
        one.store_secret("token", "of one")
        self.assertIsNone(two.retrieve_secret("token"))
        two.clear_secrets()
        self.assertEqual(one.retrieve_secret("token"), "of one")

    def test_the_storage_class_sees_the_same_items(self):
        manager("shared").store_secret("token", "abc123")
        storage = MCPSecretsStorage("shared")
        self.assertEqual(storage.retrieve_secret("token"), "abc123")
        storage.store_secret("other", "x")
        self.assertEqual(storage.list_secrets(), ["other", "token"])
        self.assertTrue(storage.secret_exists("other"))
        self.assertTrue(storage.delete_secret("other"))
        storage.clear_secrets()
        self.assertEqual(manager("shared").list_secrets(), [])

    def test_values_that_are_kept_are_read_once(self):
        kept = MCPSecretsManager()
        kept.initialize("kept", cache=True)
        kept.store_secret("token", "abc123")
        self.assertEqual(kept.retrieve_secret("token"), "abc123")
        manager("kept").store_secret("token", "changed elsewhere")
        self.assertEqual(kept.retrieve_secret("token"), "abc123")
        kept.store_secret("token", "changed here")
        self.assertEqual(kept.retrieve_secret("token"), "changed here")


class Interoperability(unittest.TestCase):
    """Python's `keyring`, which other implementations of the layout are made of."""

    def setUp(self):
        keyring.set_keyring(keyring.backends.SecretService.Keyring())

    def test_keyring_reads_what_we_write(self):
        secrets = manager("to keyring")
        secrets.store_secret("token", "abc123")
        self.assertEqual(keyring.get_password("com.mcp.to keyring", "token"), "abc123")
        index = keyring.get_password("com.mcp.to keyring", INDEX)
        self.assertEqual(json.loads(index), ["token"])

    def test_we_read_what_keyring_writes(self):
        service = "com.mcp.from keyring"
        keyring.set_password(service, "token", "abc123")
        keyring.set_password(service, INDEX, json.dumps(["token"]))
        secrets = manager("from keyring")
        self.assertEqual(secrets.retrieve_secret("token"), "abc123")
        self.assertEqual(secrets.list_secrets(), ["token"])

    def test_writing_over_each_other_leaves_the_last_value(self):
        secrets, service = manager("both ways"), "com.mcp.both ways"
        secrets.store_secret("token", "ours")
        keyring.set_password(service, "token", "keyring's")
        self.assertEqual(secrets.retrieve_secret("token"), "keyring's")
        secrets.store_secret("token", "ours again")
        self.assertEqual(secrets.retrieve_secret("token"), "ours again")
        self.assertEqual(keyring.get_password(service, "token"), "ours again")
        keyring.delete_password(service, "token")
        self.assertFalse(secrets.secret_exists("token"))


class Refusals(unittest.TestCase):
    def test_what_cannot_be_taken_is_refused_by_a_stable_code(self):
        secrets = manager("refusals")
        for code, call in [
            ("invalid_server_name", lambda: MCPSecretsManager().initialize("")),
            ("invalid_server_name", lambda: MCPSecretsStorage("a\nb")),
            ("invalid_name", lambda: secrets.store_secret("", CANARY)),
            ("reserved_name", lambda: secrets.store_secret(INDEX, CANARY)),
            ("reserved_name", lambda: secrets.retrieve_secret("__proto__")),
            ("empty_value", lambda: secrets.store_secret("token", "")),
            ("value_too_large", lambda: secrets.store_secret("token", CANARY * 10_000)),
            ("not_text", lambda: secrets.store_secret("token", CANARY + "\udc80")),
            ("not_initialized", lambda: MCPSecretsManager().list_secrets()),
        ]:
            with self.subTest(code), self.assertRaises(SecretsError) as raised:
                call()
            self.assertEqual(raised.exception.code, code)
            self.assertNotIn(CANARY, shown(raised.exception))
            again = pickle.loads(pickle.dumps(raised.exception))
            self.assertEqual((again.code, str(again)), (code, str(raised.exception)))
        with self.assertRaises(NotInitialized):
            MCPSecretsManager().retrieve_secret("token")
        with self.assertRaises(InvalidInput):
            secrets.store_secret("", "x")
        with self.assertRaises(ValueError):
            secrets.store_secret("", "x")
        self.assertEqual(secrets.list_secrets(), [])

    def test_a_value_of_another_type_is_refused_and_not_quoted(self):
        for value in [12345, None, [CANARY], CANARY.encode()]:
            with self.subTest(type(value)), self.assertRaises(TypeError) as raised:
                manager("types").store_secret("token", value)
            self.assertNotIn(CANARY, shown(raised.exception))
            self.assertNotIn("12345", shown(raised.exception))


class Shown(unittest.TestCase):
    def test_a_secret_prints_as_stars_wherever_it_is_shown(self):
        secret = Secret(CANARY)
        log = io.StringIO()
        handler = logging.StreamHandler(log)
        logger = logging.getLogger("a server's own")
        logger.addHandler(handler)
        logger.warning("the key is %s, %r, %s", secret, secret, [secret])
        for text in [
            str(secret),
            repr(secret),
            f"{secret}",
            f"{secret!r}",
            f"{secret:>40}",
            f"{secret:.8}",
            "%s" % secret,
            "{}".format(secret),
            repr({"key": secret}),
            log.getvalue(),
        ]:
            self.assertIn("***", text)
            self.assertNotIn("canary", text)
        self.assertEqual(secret.reveal(), CANARY)

    def test_a_secret_cannot_be_written_somewhere_by_accident(self):
        secret = Secret(CANARY)
        for write in [pickle.dumps, json.dumps, vars, iter, len, bytes]:
            with self.subTest(write), self.assertRaises(TypeError) as raised:
                write(secret)
            self.assertNotIn("canary", shown(raised.exception))
        self.assertIs(copy.copy(secret), secret)
        self.assertIs(copy.deepcopy({"a": secret})["a"], secret)

    def test_a_manager_shows_its_server_and_no_value(self):
        secrets = MCPSecretsManager()
        secrets.initialize("shown", cache=True)
        secrets.store_secret("token", CANARY)
        secrets.retrieve_secret("token")
        self.assertEqual(secrets.server_name, "shown")
        self.assertEqual(repr(secrets), "<MCPSecretsManager of 'shown'>")
        self.assertNotIn("canary", repr(vars(secrets)))

    def test_the_surface_is_whole(self):
        for name in mcp_secrets.__all__:
            self.assertTrue(hasattr(mcp_secrets, name), name)
        self.assertIsInstance(mcp_secrets.secrets_manager, MCPSecretsManager)


class Environment(unittest.TestCase):
    def test_clear_on_start_clears_this_server_and_says_so(self):
        manager("cleared").store_secret("token", "abc123")
        manager("not cleared").store_secret("token", "abc123")
        code = (
            "from mcp_secrets import secrets_manager as s\n"
            "s.initialize('cleared')\n"
            "print(s.list_secrets())"
        )
        said = rig.python(code, SECRETS_STORAGE_CLEAR="True")
        self.assertEqual(said, ("['token']\n", ""))
        printed, warned = rig.python(code, SECRETS_STORAGE_CLEAR="true")
        self.assertEqual(printed, "[]\n")
        self.assertIn("SECRETS_STORAGE_CLEAR=true", warned)
        self.assertEqual(manager("not cleared").list_secrets(), ["token"])

    def test_without_a_keychain_a_sealed_file_stands_in_and_that_is_said(self):
        code = (
            "from mcp_secrets import secrets_manager as s\n"
            "s.initialize('headless')\n"
            "s.store_secret('token', 'abc123')\n"
            "s.store_secret('other', 'abc123')\n"
            "print(s.retrieve_secret('token'), s.list_secrets())"
        )
        printed, warned = rig.python(code, DBUS_SESSION_BUS_ADDRESS="unix:path=/nonexistent")
        self.assertEqual(printed, "abc123 ['other', 'token']\n")
        self.assertEqual(len(warned.splitlines()), 1, warned)
        code = (
            "from mcp_secrets import secrets_manager as s\n"
            "s.initialize('headless')\n"
            "print(s.retrieve_secret('token'))"
        )
        again, _ = rig.python(code, DBUS_SESSION_BUS_ADDRESS="unix:path=/nonexistent")
        self.assertEqual(again, "abc123\n")
        # With a keychain that comes later it is found too, and what is removed is gone from the file.
        later = manager("headless")
        self.assertEqual(later.retrieve_secret("token"), "abc123")
        self.assertTrue(later.delete_secret("token"))
        again, _ = rig.python(code, DBUS_SESSION_BUS_ADDRESS="unix:path=/nonexistent")
        self.assertEqual(again, "None\n")
        self.assertTrue(issubclass(KeychainAbsent, SecretsError))


def shown(error):
    """All that a log would have of it."""
    lines = traceback.format_exception(type(error), error, error.__traceback__)
    return "".join(lines) + repr(error) + repr(vars(error)) + repr(error.args)


if __name__ == "__main__":
    rig.main()
