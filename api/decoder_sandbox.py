"""A decoding process may open no socket and start no program: a fault in a decoder then has no way out.

The kernel refuses the calls (seccomp(2), a filter in classic BPF). It needs no privilege, also inside a container. A
machine of another kind than those in CALLS decodes without it.
"""

import ctypes
import errno
import platform
from dataclasses import dataclass

PR_SET_NO_NEW_PRIVS = 38
SET_MODE_FILTER, ALL_THREADS = 1, 1
LOAD, EQUAL, AT_LEAST, RETURN = 0x20, 0x15, 0x35, 0x06
ALLOW, REFUSE = 0x7FFF0000, 0x00050000 | errno.EPERM
NUMBER, ARCHITECTURE = 0, 4  # offsets in struct seccomp_data
X32 = 0x40000000  # calls by the other interface of an x86-64 kernel have this bit


@dataclass(frozen=True)
class Calls:
    """The numbers of an architecture: its own, that of seccomp(2), and those of the calls that are refused."""

    architecture: int
    seccomp: int
    refused: tuple[int, ...]


CALLS = {
    # socket, connect, bind, execve, execveat, ptrace, io_uring_setup
    "x86_64": Calls(0xC000003E, 317, (41, 42, 49, 59, 322, 101, 425)),
    "aarch64": Calls(0xC00000B7, 277, (198, 203, 200, 221, 281, 117, 425)),
}


class _Instruction(ctypes.Structure):
    _fields_ = (
        ("code", ctypes.c_uint16),
        ("if_true", ctypes.c_uint8),
        ("if_false", ctypes.c_uint8),
        ("value", ctypes.c_uint32),
    )


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_uint16), ("instructions", ctypes.POINTER(_Instruction)))


def close_ways_out() -> bool:
    """Refuse the calls in this process from now on, with EPERM. False: the kernel or the machine cannot do it."""
    calls = CALLS.get(platform.machine())
    if calls is None or platform.system() != "Linux":
        return False
    rules = _rules(calls)
    instructions = (_Instruction * len(rules))(*(_Instruction(*rule) for rule in rules))
    program = _Program(len(rules), instructions)
    kernel = ctypes.CDLL(None, use_errno=True)
    if kernel.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0):
        return False
    return not kernel.syscall(calls.seccomp, SET_MODE_FILTER, ALL_THREADS, ctypes.byref(program))


def _rules(calls: Calls) -> list[tuple[int, int, int, int]]:
    """The filter: code, jump if true, jump if false, value."""
    refusal = len(calls.refused) + 1
    numbers = [(EQUAL, refusal - 1 - place, 0, number) for place, number in enumerate(calls.refused)]
    return [
        (LOAD, 0, 0, ARCHITECTURE),
        (EQUAL, 0, refusal + 2, calls.architecture),
        (LOAD, 0, 0, NUMBER),
        (AT_LEAST, refusal, 0, X32),
        *numbers,
        (RETURN, 0, 0, ALLOW),
        (RETURN, 0, 0, REFUSE),
    ]
