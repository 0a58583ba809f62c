#!/usr/bin/env bash
# distributed 2026.8.0: LocalCluster(dashboard_address=None) listens on port 8787 as if nothing had
# been said, and so does "". Guessed: None means no dashboard. Two clusters on one machine meet there
# (the second warns, an error where warnings are errors); ":0" takes a free port.
# Seen: None -> 8787 taken, ":0" -> 8787 free
set -euo pipefail
place="$(mktemp -d)"
trap 'rm -rf "$place"' EXIT
uv venv --quiet --python 3.11 "$place/env"
uv pip install --quiet --python "$place/env/bin/python" distributed==2026.8.0 psutil==7.1.0
"$place/env/bin/python" - <<'PY'
import socket
import sys

import psutil
from distributed import LocalCluster

with socket.socket() as probe:
    probe.bind(("127.0.0.1", 0))  # sockets work here
ports = {}
for address in (None, ":0"):
    with LocalCluster(
        n_workers=1, threads_per_worker=1, processes=False, dashboard_address=address
    ):
        ours = psutil.Process().net_connections("tcp")
        ports[address] = 8787 in {each.laddr.port for each in ours if each.status == "LISTEN"}
print("listens on 8787:", ports)
sys.exit(ports != {None: True, ":0": False})
PY
