"""What Python does not call by itself: mounts, and a look from another mount namespace."""

import ctypes
import os
import subprocess

_LIBC = ctypes.CDLL(None, use_errno=True)
CLONE_NEWNS = 0x00020000
_MS_SHARED = 1 << 20
_MS_BIND = 4096
_FLAGS = {None: 0, "shared": _MS_SHARED, "bind": _MS_BIND}


def mount(source, target, kind, flag=None, options=None):
    """mount(2)."""
    text = lambda value: None if value is None else os.fsencode(str(value))
    if _LIBC.mount(text(source), text(target), text(kind), _FLAGS[flag], text(options)) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), str(target))


def unmount(target):
    """umount(2), which fails where the file system is in use."""
    if _LIBC.umount2(os.fsencode(str(target)), 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), str(target))


def in_mounts_of(pid, look):
    """What `look` gives as text, in a process that sees the files of process `pid`, as root with all its capabilities."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        try:
            namespace = os.open(f"/proc/{pid}/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
            if _LIBC.setns(namespace, CLONE_NEWNS) != 0:
                raise OSError(ctypes.get_errno(), "setns")
            said = str(look())
        except BaseException as error:  # noqa: BLE001: whatever it is, it is told
            said = f"{type(error).__name__}: {error}"
        os.write(writer, said.encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        said = pipe.read().decode()
    os.waitpid(child, 0)
    return said


def run(*command, **options):
    """A command that has to succeed; gives what it printed."""
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, **options)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(map(str, command))}: {done.stdout}{done.stderr}")
    return done.stdout
