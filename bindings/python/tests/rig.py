"""What the tests share: contexts that answer as they are told, processes of their own, patience."""

import asyncio
import os
import subprocess
import sys
import time
import unittest

PATIENCE = 60.0
CANARY = "canary-4f1d9c"


class Answer:
    """What a framework's `elicit` returns."""

    def __init__(self, action, data=None):
        self.action, self.data = action, data


class Context:
    """A context of no framework: only what is needed of one. `answers` are functions of the message, or
    results."""

    def __init__(self, *answers):
        self.answers, self.asked, self.told = list(answers), [], []

    async def info(self, text):
        self.told.append(text)

    async def elicit(self, message, response_type):
        self.asked.append((message, response_type))
        answer = self.answers.pop(0)
        if callable(answer):
            answer = answer(message)
        if asyncio.iscoroutine(answer):
            answer = await answer
        if isinstance(answer, BaseException):
            raise answer
        return answer


def allow(data="Allow"):
    return Answer("accept", data)


def python(code, *arguments, expect=0, **variables):
    """Runs code in a process of its own; what it printed, and what it said."""
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        env={**os.environ, **variables},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    if done.returncode != expect:
        raise AssertionError(f"ended with {done.returncode}: {done.stdout}\n{done.stderr}")
    return done.stdout, done.stderr


def eventually(what, check):
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        found = check()
        if found:
            return found
        time.sleep(0.05)
    raise AssertionError(f"not within {PATIENCE} s: {what}")


async def soon(what, check):
    """As `eventually`, while the event loop goes on."""
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        found = check()
        if found:
            return found
        await asyncio.sleep(0.05)
    raise AssertionError(f"not within {PATIENCE} s: {what}")


class Screen:
    """A person at the screen of the test, by xdotool."""

    async def window(self, title):
        """The window of this title, once it is shown and takes what is typed."""

        def ready():
            shown = self.shown(title)
            if not shown:
                return None
            xdotool("windowactivate", shown[0])
            return shown[0] if xdotool("getactivewindow") == shown[0] else None

        return await soon(f"a window `{title}`", ready)

    async def submit(self, title):
        """Presses Enter until the window is gone: one that has just come to the front takes none yet."""

        async def pressed():
            window = (self.shown(title) or [None])[0]
            if window is None:
                return True
            if xdotool("getactivewindow") == window:
                self.press("Return")
                await asyncio.sleep(0.4)
            return False

        until = time.monotonic() + PATIENCE
        while not await pressed():
            if time.monotonic() > until:
                raise AssertionError(f"not within {PATIENCE} s: the window `{title}` takes Enter")
            await asyncio.sleep(0.05)

    async def gone(self, title):
        await soon(f"no window `{title}`", lambda: not self.shown(title) and not programs())

    def shown(self, title):
        return (xdotool("search", "--onlyvisible", "--name", title) or "").split()

    def type(self, text):
        xdotool("type", "--delay", "20", "--", text)

    def press(self, *keys):
        for key in keys:
            xdotool("key", "--", key)


def xdotool(*arguments):
    done = subprocess.run(["xdotool", *arguments], capture_output=True, text=True, timeout=PATIENCE)
    return done.stdout.strip() if done.returncode == 0 else None


def programs():
    """The window programs that run on the screen of this test, and our own children that nobody buried."""
    found, display = [], f"DISPLAY={os.environ['DISPLAY']}".encode()
    for process in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{process}/stat") as stat:
                name, _, rest = stat.read().partition("(")[2].rpartition(")")
            state, parent = rest.split()[:2]
            with open(f"/proc/{process}/environ", "rb") as environ:
                here = display in environ.read().split(b"\0")
        except OSError:
            continue  # It has ended meanwhile.
        ours = state == "Z" and int(parent) == os.getpid()
        if name.startswith("strongroom-dial") and (here or ours):
            found.append((process, name, state))
    return found


def main():
    unittest.main(verbosity=2)
