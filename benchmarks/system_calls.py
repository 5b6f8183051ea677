"""Ends a process at a chosen one of its system calls that change files (Linux, by ptrace)."""

from __future__ import annotations

import ctypes
import os
import platform
import signal
import struct
from collections.abc import Callable

_TRACEME, _SYSCALL, _SETOPTIONS, _GET_SYSCALL_INFO = 0, 24, 0x4200, 0x420E
_MARK_SYSCALLS, _ENTRY = 1, 1  # PTRACE_O_TRACESYSGOOD; entry in ptrace_syscall_info
_NUMBERS = {
    # openat, write, pwrite64, writev, pwritev, fsync, fdatasync, truncate, ftruncate, rename*, unlink*, mkdir*, link*
    "x86_64": {2, 257, 1, 18, 20, 296, 74, 75, 76, 77, 82, 264, 316, 87, 263, 83, 258, 86, 265, 85, 40, 326},
    "aarch64": {56, 64, 68, 66, 70, 82, 83, 45, 46, 38, 276, 35, 34, 37, 71, 285},
}
_OPEN = {"x86_64": {2: 1, 257: 2}, "aarch64": {56: 2}}  # number: which argument holds the flags


def can_trace() -> bool:
    """Whether this system lets a process trace its child."""
    if platform.system() != "Linux" or platform.machine() not in _NUMBERS:
        return False
    try:
        return kill_at(lambda: None, 10**9) is None
    except OSError:
        return False


def kill_at(work: Callable[[], None], number: int) -> int | None:
    """Runs ``work`` in a child that SIGKILL ends when it enters its ``number``-th call that changes files, from 1.

    Returns:
        ``None`` if it ended before that; else the kernel's number of the call.

    Raises:
        OSError: If the child cannot be traced, or fails by itself.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    libc.ptrace.argtypes = [ctypes.c_long] * 4
    child = os.fork()
    if child == 0:
        code = 9
        try:
            if libc.ptrace(_TRACEME, 0, 0, 0) == 0:
                os.kill(os.getpid(), signal.SIGSTOP)
                work()
                code = 0
        finally:
            os._exit(code)
    try:
        return _follow(libc, child, number)
    finally:
        try:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
        except (ProcessLookupError, ChildProcessError):
            pass


def _follow(libc: ctypes.CDLL, child: int, number: int) -> int | None:
    _, status = os.waitpid(child, 0)
    if not os.WIFSTOPPED(status) or libc.ptrace(_SETOPTIONS, child, 0, _MARK_SYSCALLS) != 0:
        raise OSError("this system does not let a process trace its child")
    machine, seen, passed_on = platform.machine(), 0, 0
    buffer = ctypes.create_string_buffer(88)
    while True:
        libc.ptrace(_SYSCALL, child, 0, passed_on)
        _, status = os.waitpid(child, 0)
        if os.WIFEXITED(status):
            if os.WEXITSTATUS(status) != 0:
                raise OSError(f"the child failed with {os.WEXITSTATUS(status)}")
            return None
        if os.WIFSIGNALED(status):
            raise OSError(f"signal {os.WTERMSIG(status)} ended the child")
        stopped_by = os.WSTOPSIG(status)
        passed_on = 0 if stopped_by in (signal.SIGTRAP | 0x80, signal.SIGTRAP, signal.SIGSTOP) else stopped_by
        if stopped_by != signal.SIGTRAP | 0x80:
            continue
        if libc.ptrace(_GET_SYSCALL_INFO, child, len(buffer), ctypes.addressof(buffer)) <= 0:
            raise OSError("this kernel does not tell of system calls")
        call, *arguments = struct.unpack_from("<7Q", buffer.raw, 24)
        if buffer.raw[0] != _ENTRY or call not in _NUMBERS[machine]:
            continue
        flags = _OPEN[machine].get(call)
        if flags is not None and not arguments[flags] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
            continue
        seen += 1
        if seen == number:
            return int(call)
