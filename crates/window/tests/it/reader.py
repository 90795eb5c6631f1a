# What a screen reader sees of the one program on this bus, as JSON.
import json

import gi

gi.require_version("Atspi", "2.0")
from gi.repository import Atspi, GLib

STATES = ("FOCUSED", "SENSITIVE", "SHOWING", "REQUIRED", "INVALID_ENTRY", "EDITABLE", "CHECKED", "PRESSED")


def walk(node, found):
    if node is None:
        return
    states = node.get_state_set()
    text = ""
    try:
        part = node.get_text_iface()
        if part is not None:
            text = Atspi.Text.get_text(part, 0, Atspi.Text.get_character_count(part))
    except GLib.Error:
        pass
    found.append(
        {
            "role": node.get_role_name(),
            "name": node.get_name(),
            "description": node.get_description(),
            "text": text,
            "states": [name for name in STATES if states.contains(getattr(Atspi.StateType, name))],
        }
    )
    for index in range(node.get_child_count()):
        walk(node.get_child_at_index(index), found)


desktop = Atspi.get_desktop(0)
found = []
for index in range(desktop.get_child_count()):
    try:
        walk(desktop.get_child_at_index(index), found)
    except GLib.Error:
        pass
print(json.dumps(found))
