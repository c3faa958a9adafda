"""Run a command where it reads Python and the library alone, and writes only scraps.

    unshare [NAMESPACES] python box.py ROOM GIBIBYTES SECONDS COMMAND [...]

The command has a file system of its own: what it needs to run Python, read-only; a
/tmp that is forgotten; and ROOM/run, where a kernel's sockets lie. No other file, no
network, no key of the session and no other process can be seen, and no right is left
to change that. Memory is limited for each process, and so is processor time, that
nothing runs for ever.

It is run as a file: a kernel starts in any folder, where `-m tools...` finds nothing.
"""

import ctypes
import errno
import importlib.util
import os
import resource
import sys
from pathlib import Path

NAMESPACES = "--user --map-root-user --mount --net --ipc --pid --fork --kill-child"
SYSTEM = (
    "/usr /bin /sbin /lib /lib32 /lib64 /etc/alternatives /etc/fonts /etc/ld.so.cache "
    "/etc/localtime /etc/passwd /sys/devices/system/cpu"
)
DEVICES = "null zero full random urandom"
# Numbers of the Linux interface, from mount(2), mount_setattr(2), umount(2), prctl(2).
BIND, RECURSIVE, DETACH, SETATTR, HERE, SUBTREE = 0x1000, 0x4000, 2, 442, -100, 0x8000
READ_ONLY = (ctypes.c_uint64 * 4)(1, 0, 0, 0)
DROP_CAPABILITY, NO_NEW_PRIVILEGES = 24, 38
# keyctl(2) has another number on old architectures than on all the later ones.
KEYCTL = {"x86_64": 250, "i686": 288, "ppc64le": 271, "s390x": 280}
NEW_SESSION_KEYRING = 1
libc = ctypes.CDLL(None, use_errno=True)


def done(result: int, what: str) -> None:
    """Raise OSError if a call of the system did not succeed."""
    if result != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), what)


def mount(source: str, target: Path, kind: str, flags: int = 0, data: str = "") -> None:
    """mount(2)"""
    texts = [os.fsencode(text) for text in (source, target, kind)]
    done(libc.mount(*texts, ctypes.c_ulong(flags), data.encode()), str(target))


def bind(path: Path, root: Path) -> Path:
    """Let a file or a folder appear at the same place of the new root."""
    target = root / path.relative_to("/")
    if path.is_dir():
        target.mkdir(parents=True, exist_ok=True)
    else:
        target.parent.mkdir(parents=True, exist_ok=True)
        target.touch()
    mount(str(path), target, "", BIND | RECURSIVE)
    return target


def protect(target: Path, flags: int = SUBTREE) -> None:
    """Make a mounted folder read-only, with everything mounted in it."""
    size = ctypes.sizeof(READ_ONLY)
    path = os.fsencode(target)
    done(libc.syscall(SETATTR, HERE, path, flags, READ_ONLY, size), str(target))


def readable(library: Path) -> list[Path]:
    """What Python needs; nothing that lies within another one is named."""
    python = [sys.prefix, sys.base_prefix, os.path.realpath(sys.base_prefix)]
    packages = [path for path in sys.path if path.endswith("-packages")]
    paths = {Path(path) for path in [*SYSTEM.split(), *python, *packages, library]}
    return sorted(p for p in paths if p.exists() and not paths & set(p.parents))


def enter(room: Path, library: Path) -> None:
    """Build the new root in ROOM/root and move into it."""
    root = room / "root"
    mount("tmpfs", root, "tmpfs", data="mode=755")
    scraps, processes, devices = root / "tmp", root / "proc", root / "dev"
    for folder in (scraps, processes, devices):
        folder.mkdir()
    mount("tmpfs", scraps, "tmpfs", data="mode=755,size=1g")
    for path in readable(library):
        protect(bind(path, root))
    for name in DEVICES.split():
        bind(Path("/dev", name), root)
    (devices / "shm").symlink_to("/tmp")
    bind(room / "run", root)
    Path("/proc/sys/user/max_user_namespaces").write_text("0")
    mount("proc", processes, "proc")
    protect(processes)
    protect(root, flags=0)
    os.chdir(root)
    done(libc.pivot_root(b".", b"."), "pivot_root")
    done(libc.umount2(b".", DETACH), "umount")


def limit(gibibytes: float, seconds: int) -> None:
    """Limit each process, and give up every right over the box."""
    space = int(gibibytes * 2**30)
    for kind, most in (
        (resource.RLIMIT_AS, space),
        (resource.RLIMIT_CPU, seconds * (os.cpu_count() or 1)),
        (resource.RLIMIT_FSIZE, 100 * 2**20),
        (resource.RLIMIT_NPROC, 1000),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(kind, (most, most))
    last = int(Path("/proc/sys/kernel/cap_last_cap").read_text())
    leave_keys()
    for capability in range(last + 1):
        done(libc.prctl(DROP_CAPABILITY, capability, 0, 0, 0), "prctl")
    done(libc.prctl(NO_NEW_PRIVILEGES, 1, 0, 0, 0), "prctl")


def leave_keys() -> None:
    """Give up the keys of the session, which a process inherits."""
    number = KEYCTL.get(os.uname().machine, 219)
    try:
        joined = libc.syscall(number, NEW_SESSION_KEYRING, None)
        done(min(joined, 0), "keyctl")  # it answers with the new keyring's number
    except OSError as error:
        if error.errno not in (errno.ENOSYS, errno.EPERM):  # then there are no keys
            raise


def main() -> None:
    room, gibibytes, seconds, *command = sys.argv[1:]
    sys.path[0] = str(Path(__file__).resolve().parents[2])  # where vae_lib is
    library = Path(importlib.util.find_spec("vae_lib").origin).parent
    enter(Path(room), library)
    limit(float(gibibytes), int(seconds))
    home = Path("/tmp/home")
    home.mkdir()
    os.chdir(home)
    environment = {
        "PATH": f"{sys.prefix}/bin:/usr/bin:/bin",
        "PYTHONPATH": str(library.parent),
        "HOME": str(home),
        "JUPYTER_RUNTIME_DIR": f"{room}/run",
        "LANG": "C.UTF-8",
        "TQDM_DISABLE": "1",
        "OMP_NUM_THREADS": "1",
        "USER": "student",
    }
    nothing = os.open("/dev/null", os.O_RDWR)
    for stream in range(3):  # nothing of the command reaches a terminal
        os.dup2(nothing, stream)
    os.execve(command[0], command, environment)


if __name__ == "__main__":
    sys.exit(main())
