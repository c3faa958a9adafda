"""Wait until no other `make` holds the file that is open as number 9, then hold it.

    exec 9<Makefile && python -m tools.alone && ...

The lock belongs to the shell that opened the file: it goes when that shell and the
programs that it started have ended, however they ended. Any Python 3 runs this.
"""

import fcntl

try:
    fcntl.flock(9, fcntl.LOCK_EX | fcntl.LOCK_NB)
except BlockingIOError:
    print("make: another make works in this folder, waiting for it", flush=True)
    fcntl.flock(9, fcntl.LOCK_EX)
except OSError:
    pass  # a file system without locks
