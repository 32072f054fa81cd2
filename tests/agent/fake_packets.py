"""A packet process without packets: answers on its socket, remembers what it was told, ends when told.

python fake_packets.py SOCKET VERSION
"""

import json
import os
import sys
from pathlib import Path

from dnsagent.link import LinkServer
from dnsagent.poller import Poller

OLD = ("0.8",)
"""Versions that cannot be succeeded."""


def serve(poller, seconds):
    for descriptor, events in poller.wait(seconds):
        poller.handler(descriptor)(events)


def main(path, version):
    poller = Poller()
    told = []
    is_over = []

    def handle(request, _):
        command = request["command"]
        told.append(command)
        if command == "succeed" and version in OLD:
            return {"ok": False, "error": "there is no such command"}
        if command == "stop":
            is_over.append([])
        if command == "succeed":
            is_over.append(request["program"])
        if command == "load":
            return {"ok": True, "generation": json.loads(Path(request["path"]).read_text())["generation"]}
        status = {"pid": os.getpid(), "version": version, "generation": 0, "elements": 0, "health": []}
        if left_out := json.loads(os.environ.get("LEFT_OUT", "{}")):
            # For the first two looks; then nobody is left out any more.
            status["left_out"] = left_out if told.count("status") <= 2 else {}
        return {"ok": True, **status, "counters": {name: told.count(name) for name in told}}

    server = LinkServer(path, poller, handle)
    while not is_over:
        serve(poller, 1)
    serve(poller, 0.05)
    server.close()
    if is_over[0]:
        os.execv(is_over[0][0], is_over[0])


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
