"""Hooks of schemathesis: what a request that is made at random cannot know of the team that it is sent to.

THERE is JSON: `fields` has values for fields by their names, `ids` those of paths by what they begin with,
`tenant_id` is what a kernel names. Half of the requests that are meant to be good ask for these.
"""

import json
import os
import random

import schemathesis

THERE = json.loads(os.environ["THERE"])
COIN = random.Random(1)
# What it takes away, later requests do not find.
SELDOM = ("delete", "disable", "rotate")


@schemathesis.hook
def before_call(context, case, kwargs):
    meta = getattr(case, "meta", None)
    if meta is None or meta.generation.mode.is_negative:
        return
    path, method = case.operation.path, case.operation.method.upper()
    seldom = method == "DELETE" or path.rpartition("/")[2] in SELDOM
    likely = COIN.random() < (0.05 if seldom else 0.5)
    places = [place for place in (case.query, case.body) if isinstance(place, dict)]
    if likely:
        for beginning, value in THERE["ids"].items():
            if path.startswith(beginning + "/{id}"):
                case.path_parameters = {"id": value}
        for place in places:
            for name in place.keys() & THERE["fields"].keys():
                place[name] = THERE["fields"][name]
    for place in places:
        # No schema says what the rules of a service are, nor which commands the operator lets in.
        if "definition" in place:
            place["definition"] = THERE["definition"]
        if likely and "command" in place:
            place.update(THERE["command"])
    # What is locked answers 503, as it has to, which here would be a failure of the server.
    if path == "/v1/locks" and isinstance(case.body, dict):
        case.body.pop("server", None)
        case.body["service"] = "locked"
    if THERE["tenant_id"]:
        if method in ("GET", "DELETE"):
            case.query = {**(case.query or {}), "tenant_id": THERE["tenant_id"]}
        elif isinstance(case.body, dict):
            case.body["tenant_id"] = THERE["tenant_id"]
