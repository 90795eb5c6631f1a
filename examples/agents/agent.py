"""An agent in Python that has a key of Strongroom and no other. Standard library only.

    STRONGROOM_URL=http://127.0.0.1:8443 STRONGROOM_KEY=mcp_... python3 agent.py SERVICE PATH
"""

import json
import os
import sys
import time
import urllib.error
import urllib.request


class Refused(Exception):
    """What Strongroom did not do, and why: `code` is for programs, the text for people."""

    def __init__(self, status, error):
        super().__init__(error["message"])
        self.status = status
        self.code = error["code"]
        self.retry_after = error.get("details", {}).get("retry_after_s")


class Strongroom:
    def __init__(self, url, key):
        self.url, self.key = url, key

    def ask(self, method, path, body=None):
        """`data` of the answer. What is to be tried again later is, once."""
        try:
            return self.once(method, path, body)["data"]
        except Refused as refused:
            if refused.retry_after is None:
                raise
            time.sleep(refused.retry_after)
            return self.once(method, path, body)["data"]

    def call(self, tool, **arguments):
        """What a tool answers, over MCP. No session is needed for that."""
        params = {"name": tool, "arguments": arguments}
        message = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
        answer = self.once("POST", "/mcp", message)
        if "error" in answer:
            raise Refused(200, {"code": str(answer["error"]["code"]), **answer["error"]})
        result = answer["result"]["structuredContent"]
        if answer["result"].get("isError"):
            raise Refused(200, result["error"])
        return result

    def once(self, method, path, body):
        request = urllib.request.Request(
            self.url + path,
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"X-API-Key": self.key, "Content-Type": "application/json", "Accept": "application/json"},
        )
        try:
            with urllib.request.urlopen(request) as response:
                return json.load(response)
        except urllib.error.HTTPError as error:
            raise Refused(error.code, json.load(error)["error"]) from None


def main(service, path):
    strongroom = Strongroom(os.environ["STRONGROOM_URL"], os.environ["STRONGROOM_KEY"])
    seen = {}
    servers = strongroom.ask("GET", "/functions/v1/mcp-servers/list?enabled_only=true")
    seen["servers"] = [server["server_id"] for server in servers["servers"]]
    tool = servers["servers"][0]["tool_prefix"] + "anything" if servers["count"] else "execute"
    question = {"action": "tools/call", "resource": tool}
    seen["decision"] = strongroom.ask("POST", "/functions/v1/authorize", question)["decision"]
    answer = strongroom.call("execute", service=service, method="GET", path=path)
    seen["status"], seen["body"] = answer["status"], answer["body"]
    for name, attempt in {
        "forbidden": lambda: strongroom.call("execute", service=service, method="DELETE", path=path),
        "unknown": lambda: strongroom.call("execute", service="no-such-service", method="GET", path=path),
        "plaintext": lambda: strongroom.ask(
            "POST", "/functions/v1/credentials/retrieve", {"service": service, "credential_type": "api_key"}
        ),
        "mistake": lambda: strongroom.ask("POST", "/functions/v1/authorize", {"acton": "tools/call"}),
        "stranger": lambda: Strongroom(strongroom.url, strongroom.key[:-1] + "x").ask(
            "GET", "/functions/v1/mcp-servers/list"
        ),
    }.items():
        try:
            attempt()
        except Refused as refused:
            seen[name] = refused.code
    print(json.dumps(seen))


if __name__ == "__main__":
    main(*sys.argv[1:])
