"""Runs a program one instruction at a time until it becomes another one, and prints where in its image each
instruction stands that it came to: an offset a line, in the order of their first time. For Linux on x86-64."""

import ctypes
import os
import sys

TRACEME, GETREGS, SINGLESTEP = 0, 12, 9
# Where `rip` stands in `user_regs_struct`, and how many words that has (sys/user.h).
RIP, WORDS = 16, 27

libc = ctypes.CDLL(None, use_errno=True)
libc.ptrace.restype = ctypes.c_long
libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]


def image(pid, program):
    """The addresses that the program's file is mapped at."""
    with open(f"/proc/{pid}/maps") as maps:
        ours = [line.split()[0].split("-") for line in maps if line.rstrip().endswith(program)]
    return int(ours[0][0], 16), int(ours[-1][1], 16)


def main(program, *words):
    program = os.path.realpath(program)
    pid = os.fork()
    if pid == 0:
        libc.ptrace(TRACEME, 0, None, None)
        os.execv(program, [program, *words])
    os.waitpid(pid, 0)
    first, end = image(pid, program)
    registers = (ctypes.c_ulonglong * WORDS)()
    offsets = {}
    steps = 0
    while libc.ptrace(SINGLESTEP, pid, None, None) == 0:
        _, status = os.waitpid(pid, 0)
        if os.WIFEXITED(status) or os.WIFSIGNALED(status):
            break
        libc.ptrace(GETREGS, pid, None, registers)
        if first <= registers[RIP] < end:
            offsets[registers[RIP] - first] = None
        steps += 1
        if steps % 1000 == 0 and os.readlink(f"/proc/{pid}/exe") != program:
            os.kill(pid, 9)
            break
    print("\n".join(map(str, offsets)))


main(*sys.argv[1:])
