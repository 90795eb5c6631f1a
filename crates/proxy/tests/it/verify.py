"""Checks the signatures of requests as their services would, from what arrived on the wire.

Reads a JSON list from stdin, one object for each request: scheme, method, origin, target, headers
(pairs), body, secrets. Prints what is wrong, and nothing where all is well.
"""

import base64
import hashlib
import hmac
import json
import sys
from urllib.parse import parse_qsl, quote, unquote


def mac(key, text, algorithm):
    return hmac.new(key.encode(), text.encode(), algorithm).digest()


def strict(text):
    return quote(text, safe="-._~")


def bybit(r):
    payload = r["body"] if r["method"] == "POST" else r["query"]
    head = r["one"]
    text = head("x-bapi-timestamp") + head("x-bapi-api-key") + head("x-bapi-recv-window") + payload
    return mac(r["secrets"]["secret"], text, "sha256").hex() == head("x-bapi-sign")


def okx(r):
    head = r["one"]
    text = head("ok-access-timestamp") + r["method"] + r["target"] + r["body"]
    due = base64.b64encode(mac(r["secrets"]["secret"], text, "sha256")).decode()
    return due == head("ok-access-sign") and head("ok-access-passphrase") == r["secrets"]["passphrase"]


def mexc(r):
    signed, signature = r["query"].rsplit("&signature=", 1)
    assert dict(parse_qsl(signed))["timestamp"] == r["ms"]
    return mac(r["secrets"]["secret"], signed + r["body"], "sha256").hex() == signature


def oauth1a(r):
    kind, _, fields = r["one"]("authorization").partition(" ")
    assert kind == "OAuth"
    fields = [field.split("=", 1) for field in fields.split(", ")]
    fields = {name: unquote(value.strip('"')) for name, value in fields}
    signature = fields.pop("oauth_signature")
    assert fields["oauth_timestamp"] == r["ms"][:-3]
    pairs = list(fields.items()) + parse_qsl(r["query"], keep_blank_values=True)
    if r["all"]("content-type") == ["application/x-www-form-urlencoded"]:
        pairs += parse_qsl(r["body"], keep_blank_values=True)
    pairs = sorted((strict(name), strict(value)) for name, value in pairs)
    base = "&".join(f"{name}={value}" for name, value in pairs)
    uri = r["origin"] + r["target"].split("?")[0]
    base = "&".join(map(strict, [r["method"], uri, base]))
    key = strict(r["secrets"]["consumer_secret"]) + "&" + strict(r["secrets"]["token_secret"])
    return base64.b64encode(mac(key, base, "sha1")).decode() == signature


def sigv4(r):
    algorithm, _, rest = r["one"]("authorization").partition(" ")
    assert algorithm == "AWS4-HMAC-SHA256"
    parts = dict(part.split("=", 1) for part in rest.split(", "))
    key_id, date, region, service, end = parts["Credential"].split("/")
    assert (key_id, end) == (r["secrets"]["access_key_id"], "aws4_request")
    names = parts["SignedHeaders"].split(";")
    # Whatever the agent said is signed.
    sent = {name for name, _ in r["headers"]}
    assert sent - set(names) <= {"user-agent", "accept-encoding", "content-length", "authorization"}
    path = r["target"].split("?")[0]
    path = quote(unquote(path), safe="/-._~") if service == "s3" else quote(path, safe="/-._~")
    query = sorted((strict(n), strict(v)) for n, v in parse_qsl(r["query"], keep_blank_values=True))
    hashed = hashlib.sha256(r["body"].encode()).hexdigest()
    if service == "s3":
        assert r["one"]("x-amz-content-sha256") == hashed
    lines = [f"{name}:{' '.join(r['one'](name).split())}" for name in names]
    query = "&".join(f"{name}={value}" for name, value in query)
    canonical = [r["method"], path, query, *lines, "", parts["SignedHeaders"], hashed]
    digest = hashlib.sha256("\n".join(canonical).encode()).hexdigest()
    scope = "/".join([date, region, service, end])
    text = "\n".join([algorithm, r["one"]("x-amz-date"), scope, digest])
    key = ("AWS4" + r["secrets"]["secret_access_key"]).encode()
    for step in [date, region, service, end]:
        key = hmac.new(key, step.encode(), "sha256").digest()
    return hmac.new(key, text.encode(), "sha256").hexdigest() == parts["Signature"]


def check(request):
    def every(name):
        return [value for found, value in request["headers"] if found == name]

    def one(name):
        values = every(name)
        assert len(values) == 1, f"{name}: {values}"
        return values[0]

    request["all"], request["one"] = every, one
    request["query"] = request["target"].partition("?")[2]
    schemes = [bybit, okx, mexc, oauth1a, sigv4]
    return {scheme.__name__: scheme for scheme in schemes}[request["scheme"]](request)


for request in json.load(sys.stdin):
    if not check(request):
        print("wrong signature:", request["scheme"], request["method"], request["target"])
