"""A person at a terminal: types commands, the keys that they ask for, and the codes that they show.

person.py, with a line of JSON on stdin for each command: {"command": [WORD..], "keys": [KEY..]}. Answers
each with a line: {"code": EXIT CODE, "shown": what was on the terminal}. A key is typed where the
terminal says that it is not shown; a code is typed back as it is shown.
"""

import json
import os
import pty
import re
import select
import sys

KEY = re.compile(r"not shown\): ?$")
CODE = re.compile(r"Type (\w{4}-\w{4}) to confirm: $")
# A code that is typed before its question is all there does not count: who was too quick types it again.
# Keys always count, and are typed once.
AGAIN, TIMES = 1, 60


def at_terminal(command, keys):
    child, terminal = pty.fork()
    if child == 0:
        os.execvp(command[0], command)
    shown, question, answer, quiet = "", "", None, 0
    while True:
        ready, _, _ = select.select([terminal], [], [], AGAIN)
        if not ready:
            quiet += 1
            if quiet == TIMES:
                raise SystemExit(f"{command}: nothing happens after: {shown}")
            if answer:
                os.write(terminal, answer)
            continue
        try:
            piece = os.read(terminal, 65536).decode()
        except OSError:  # The terminal is closed, as Linux says it.
            piece = ""
        if not piece:
            break
        shown, question = shown + piece, question + piece
        code = CODE.search(question)
        if code:
            answer = f"{code[1]}\n".encode()
            os.write(terminal, answer)
            question = ""
        elif KEY.search(question):
            os.write(terminal, f"{keys.pop(0)}\n".encode())
            question = ""
    _, status = os.waitpid(child, 0)
    os.close(terminal)
    if keys:
        raise SystemExit(f"{command}: not all keys were asked for: {shown}")
    return {"code": os.waitstatus_to_exitcode(status), "shown": shown}


for line in sys.stdin:
    asked = json.loads(line)
    print(json.dumps(at_terminal(asked["command"], asked.get("keys", []))), flush=True)
