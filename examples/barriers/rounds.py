#!/usr/bin/env python3
"""Meets the others at the barrier "round", so many times; standard library only."""
import json
import os
import socket
import sys
import time

agent = socket.socket(socket.AF_UNIX)
agent.connect(os.environ["PLUSH_SOCKET"])
lines = agent.makefile("rw")
for n in range(1, int(sys.argv[1]) + 1):
    print(n, "before", time.time_ns(), flush=True)
    print(json.dumps({"do": "enter", "barrier": "round", "timeout_ms": 60000}), file=lines, flush=True)
    answer = json.loads(lines.readline())
    if answer["result"] != "released":
        sys.exit(f"not let go: {answer}")
    print(n, "after", time.time_ns(), flush=True)
