"""Measures the Python package within a session that has a keyring; prints milliseconds as JSON.

asking.py PYTHON    PYTHON is the interpreter that has the package
"""

import json
import statistics
import subprocess
import sys
import time

ROUNDS = 41
SECRET = ["service", "com.mcp.bench", "username", "token"]
READ = """
import json, statistics, time
from mcp_secrets import secrets_manager
secrets_manager.initialize("bench")
def read():
    start = time.perf_counter()
    assert secrets_manager.retrieve_secret("token") == "value"
    return (time.perf_counter() - start) * 1e3
read()
print(json.dumps(statistics.median(read() for _ in range(200))))
"""


def timed(*command):
    start = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return (time.perf_counter() - start) * 1e3


def main(python):
    daemon = ["gnome-keyring-daemon", "--unlock", "--components=secrets"]
    subprocess.run(daemon, input=b"pw", check=True, stdout=subprocess.DEVNULL)
    store = ["secret-tool", "store", "--label=bench", *SECRET]
    subprocess.run(store, input=b"value", check=True)
    bare, imported, tool = [], [], []
    for _ in range(ROUNDS):
        bare.append(timed(python, "-I", "-c", "pass"))
        imported.append(timed(python, "-I", "-c", "import mcp_secrets, mcp_secrets.fetcher"))
        tool.append(timed("secret-tool", "lookup", *SECRET))
    read = subprocess.run([python, "-I", "-c", READ], check=True, capture_output=True)
    medians = {"bare": bare, "import": imported, "tool": tool}
    medians = {name: statistics.median(times) for name, times in medians.items()}
    print(json.dumps({**medians, "read": json.loads(read.stdout)}))


main(sys.argv[1])
