"""Runs a command and writes what it and all it waited for used: rusage.py REPORT COMMAND [ARGUMENT...]

Node.js does not tell the usage of child processes; wait4(2) does, to the microsecond, for the child and all it waited for.
The peak is that of the largest single process. It cannot be less than this interpreter's own size, about 10 MB, which a
child has until it becomes the command.
"""

import json
import os
import sys
import time

report, argv = sys.argv[1], sys.argv[2:]
started = time.monotonic()
pid = os.posix_spawnp(argv[0], argv, os.environ)
_, status, usage = os.wait4(pid, 0)
wall = time.monotonic() - started
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
