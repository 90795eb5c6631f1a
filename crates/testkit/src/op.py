#!/usr/bin/env -S python3 -IS
# A stand-in for 1Password's `op`, version 2: `inject`, `read`, `whoami`, `--version`. What it says
# when something is wrong is what version 2 says. Beside it stand `state.json`, which a test writes,
# and `calls`, one line for each time it was started.
import json
import os
import re
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))


def main():
    with open(os.path.join(HERE, "state.json")) as file:
        state = json.load(file)
    call = json.dumps({"argv": sys.argv[1:], "env": sorted(os.environ)})
    log = os.open(os.path.join(HERE, "calls"), os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(log, (call + "\n").encode())
    os.close(log)
    time.sleep(state["latency_ms"] / 1000)
    words = [word for word in sys.argv[1:] if not word.startswith("--")]
    if sys.argv[1:] == ["--version"]:
        print("2.39.0")
    elif words == ["whoami"]:
        sign_in(state, "")
        print("URL: https://my.1password.com")
    elif words == ["inject"]:
        inject(state)
    elif words[:1] == ["read"] and len(words) == 2:
        sign_in(state, "could not read secret '%s': " % words[1])
        end = "" if "--no-newline" in sys.argv or "-n" in sys.argv else "\n"
        write(value(state, words[1], "could not read secret '%s': " % words[1]) + end)
    else:
        fail('unknown command "%s" for "op"' % " ".join(words))


def inject(state):
    template = sys.stdin.buffer.read().decode()
    sign_in(state, "")
    misbehave(state)
    found = lambda match: value(state, match.group(1), "")
    write(re.sub(r"\{\{ *(op://[^{}]+?) *\}\}", found, template) + "\n")


def sign_in(state, before):
    token = os.environ.get("OP_SERVICE_ACCOUNT_TOKEN")
    trouble = state["trouble"]
    start = before + "error initializing client: "
    if trouble == "locked" or (token is None and not state["desktop"]):
        fail(before + "error initializing client: You are not currently signed in. Please run `op signin --help` for instructions")
    if trouble == "limited":
        fail("(429) Too Many Requests: You've reached the maximum number of this type of requests this service account is allowed to make. Please retry in 58 minutes or try other requests.")
    if trouble == "unreachable":
        fail(start + "dial tcp: lookup my.1password.com: no such host")
    if trouble == "denied":
        fail("(403) Forbidden: You aren't authorized to access this resource.")
    if trouble == "unknown":
        fail("something new in op 3")
    if token is not None and not token.startswith("ops_"):
        fail(start + "Validation: (failed to session.DecodeSACredentials), Server: (failed to DecodeSACredentials), illegal base64 data at input byte 12")
    if trouble == "revoked" or (token is not None and token != state["token"]):
        fail(start + "(401) Unauthorized: invalid bearer token")


def misbehave(state):
    trouble = state["trouble"]
    if trouble == "empty":
        sys.exit(0)
    if trouble == "newline":
        write("\n")
        sys.exit(0)
    if trouble == "garbage":
        write("\x1b[2J<html>canary</html>")
        sys.exit(0)
    if trouble == "flood":
        for _ in range(160):
            write("x" * 65536)
        sys.exit(0)
    if trouble == "zero":
        write("[ERROR] canary")
        sys.stderr.write("[ERROR] 2026/01/02 03:04:05 something went wrong with canary\n")
        sys.exit(0)
    if trouble == "hang":
        time.sleep(600)
    if trouble == "tty":
        try:
            with open("/dev/tty", "r+") as terminal:
                terminal.readline()
        except OSError:
            fail("error initializing client: authorization prompt dismissed, please try again")


def value(state, reference, before):
    parts = reference[len("op://"):].split("/")
    if not 3 <= len(parts) <= 4:
        fail("invalid secret reference '%s': too few '/': secret references should have at least vault, item and field specified" % reference)
    bad = re.search(r"[^\w\-. /]", reference[len("op://"):])
    if bad:
        fail("invalid secret reference '%s': invalid character in secret reference: '%s'" % (reference, bad.group(0)))
    vault, item, field = parts[0], parts[1], "/".join(parts[2:])
    vaults = {}
    for name, text in state["fields"].items():
        v, i, f = name.split("/", 2)
        vaults.setdefault(v.lower(), {}).setdefault(i.lower(), {})[f.lower()] = text
    if vault.lower() not in vaults:
        fail(before + '"%s" isn\'t a vault in this account. Specify the vault with its ID or name.' % vault)
    if [vault.lower(), item.lower()] in [[part.lower() for part in two] for two in state["twice"]]:
        fail('More than one item matches "%s". Try again and specify the item by its ID:\n\t* for the item "%s" in vault %s: a4g3qhvisxxcyvfzjtfpariwfe\n\t* for the item "%s" in vault %s: 4exeximtkfyxd2eywo3m7jpfwu' % (item, item, vault, item, vault))
    items = vaults[vault.lower()]
    if item.lower() not in items:
        if before:
            fail(before + 'could not get item %s/%s: "%s" isn\'t an item in the "%s" vault. Specify the item with its UUID, name, or domain.' % (vault, item, item, vault))
        fail("could not resolve item UUID for item %s: could not find item %s in vault 3krbvotxjulf6nvqm2k4xfb2p4" % (item, item))
    if field.lower() not in items[item.lower()]:
        fail(before + "item '%s/%s' does not have a field '%s'" % (vault, item, field))
    return items[item.lower()][field.lower()]


def write(text):
    sys.stdout.buffer.write(text.encode())
    sys.stdout.buffer.flush()


def fail(text):
    sys.stderr.write("[ERROR] 2026/01/02 03:04:05 %s\n" % text)
    sys.exit(1)


main()
