"""Runs a command and writes what it and all it waited for used: rusage.py REPORT COMMAND [ARGUMENT...]

Node.js does not tell the usage of child processes; wait4(2) does, to the microsecond, for the child and all it waited for.
What the command left behind in the background counts too: it is waited for, though not in the wall time. The peak is that of the largest single process. It cannot be less than this interpreter's own size, about 10 MB, which a
child has until it becomes the command.
"""

import ctypes
import json
import os
import resource
import sys
import time

PR_SET_CHILD_SUBREAPER = 36
# Seconds that what works on in the background may take to end by itself.
PATIENCE = 60

report, argv = sys.argv[1], sys.argv[2:]
ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
started = time.monotonic()
pid = os.posix_spawnp(argv[0], argv, os.environ)
_, status, _ = os.wait4(pid, 0)
wall = time.monotonic() - started
deadline = time.monotonic() + PATIENCE
while time.monotonic() < deadline:
    try:
        ended, _ = os.waitpid(-1, os.WNOHANG)
    except ChildProcessError:
        break
    if ended == 0:
        time.sleep(0.02)
usage = resource.getrusage(resource.RUSAGE_CHILDREN)
with open(report, "w", encoding="utf-8") as file:
    json.dump(
        {
            "wallSeconds": wall,
            "cpuSeconds": usage.ru_utime + usage.ru_stime,
            "peakRssBytes": usage.ru_maxrss * 1024,
        },
        file,
    )
sys.exit(os.waitstatus_to_exitcode(status) if os.WIFEXITED(status) else 128)
