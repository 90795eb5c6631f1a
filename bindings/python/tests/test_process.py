"""What a native module does to its process: threads, forks, the end of the interpreter."""

import unittest

import rig

# A bus that takes connections and says nothing: whoever asks it waits.
SILENT_BUS = """
import os, socket, sys, tempfile, threading
folder = tempfile.mkdtemp()
path = os.path.join(folder, "bus")
bus = socket.socket(socket.AF_UNIX)
bus.bind(path)
bus.listen()
os.environ["DBUS_SESSION_BUS_ADDRESS"] = "unix:path=" + path
from mcp_secrets import SecretsError, secrets_manager
secrets_manager.initialize("silent")
"""


class Process(unittest.TestCase):
    def test_other_threads_run_while_one_waits_for_the_keychain(self):
        """If it waited with Python's global lock, nobody could end its wait."""
        printed, _ = rig.python(
            SILENT_BUS
            + """
def end_the_wait():
    taken, _ = bus.accept()
    taken.recv(1)
    print("another thread runs", flush=True)
    taken.close()
    bus.close()
threading.Thread(target=end_the_wait, daemon=True).start()
try:
    secrets_manager.retrieve_secret("token")
except SecretsError:
    pass
print("the wait ended")
"""
        )
        self.assertEqual(printed, "another thread runs\nthe wait ended\n")

    def test_the_interpreter_ends_while_a_call_waits_in_another_thread(self):
        rig.python(
            SILENT_BUS
            + """
threading.Thread(target=secrets_manager.retrieve_secret, args=("token",), daemon=True).start()
taken, _ = bus.accept()
taken.recv(1)
"""
        )

    def test_the_interpreter_ends_while_a_person_is_asked(self):
        printed, said = rig.python(
            """
import asyncio
from mcp_secrets import secrets_manager
secrets_manager.initialize("ends")
secrets_manager.store_secret("token", "abc123")
class Context:
    async def info(self, text): pass
    async def elicit(self, message, answers):
        print(message, flush=True)
        asyncio.get_running_loop().stop()
        await asyncio.Event().wait()
loop = asyncio.new_event_loop()
call = loop.create_task(secrets_manager.retrieve_secret_with_permission("token", Context()))
loop.run_forever()
# Neither awaited nor cancelled: the loop stands still, and the interpreter ends.
call._log_destroy_pending = False
"""
        )
        self.assertEqual(printed, "ends wants to use token\n")
        self.assertNotIn("panicked", said)

    def test_a_loop_that_was_closed_under_a_call_harms_nobody(self):
        printed, said = rig.python(
            """
import asyncio
from mcp_secrets import secrets_manager
secrets_manager.initialize("closed")
secrets_manager.store_secret("token", "abc123")
class Context:
    async def elicit(self, message, answers):
        self.asked.set()
        await asyncio.Event().wait()
async def leave():
    context.asked = asyncio.Event()
    asyncio.ensure_future(secrets_manager.retrieve_secret_with_permission("token", context))
    await context.asked.wait()
context = Context()
asyncio.run(leave())
# A second loop of the same process works as the first did.
class Allows:
    async def elicit(self, message, answers):
        return {"action": "accept", "content": {"value": "Allow"}}
print(asyncio.run(secrets_manager.retrieve_secret_with_permission("token", Allows())))
"""
        )
        self.assertEqual((printed, said), ("abc123\n", ""))

    def test_children_that_a_server_forks_before_it_works_do_the_work(self):
        """As servers do that load the application once."""
        printed, _ = rig.python(
            """
import asyncio, os, sys
from mcp_secrets import secrets_manager
secrets_manager.initialize("forked")
class Allows:
    async def elicit(self, message, answers):
        return {"action": "accept", "content": {"value": "Allow"}}
for child in range(2):
    if os.fork() == 0:
        secrets_manager.store_secret("token", "abc123")
        print(asyncio.run(secrets_manager.retrieve_secret_with_permission("token", Allows())))
        sys.exit()
    _, status = os.wait()
    assert status == 0
"""
        )
        self.assertEqual(printed, "abc123\nabc123\n")

    def test_the_import_takes_nothing_that_only_flows_need(self):
        printed, _ = rig.python(
            "import sys, mcp_secrets, mcp_secrets.fetcher\n"
            "print(sorted({'asyncio', 'inspect', 'json', 'logging', 'pydantic'} & set(sys.modules)))"
        )
        self.assertEqual(printed, "[]\n")

    def test_the_package_needs_nothing_but_python(self):
        """Isolated and without site packages of others: all it imports is its own or Python's."""
        rig.python(
            """
import sys, mcp_secrets, mcp_secrets.fetcher
theirs = {name.partition(".")[0] for name in sys.modules} - set(sys.stdlib_module_names)
theirs -= {"__main__", "mcp_secrets", "_distutils_hack", "sitecustomize"}
assert not theirs, theirs
"""
        )


if __name__ == "__main__":
    rig.main()
