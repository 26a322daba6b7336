#!/usr/bin/env python3
"""Decides what becomes of a failed process: one event in, one decision out, both JSON."""
import json
import sys

event = json.load(sys.stdin)
print(json.dumps({"decision": "continue" if event["process"] == "work" else "default"}))
