"""The USDT probes of docs/probes.md: the notes in the ELF file, and what a debugger hears."""

from __future__ import annotations

import os
import re
import shutil
import struct
import subprocess
import sys
import textwrap
from collections import defaultdict
from pathlib import Path
from typing import NamedTuple

import pytest

from pyfastlock import _core

PROBES = {"wait__start": 3, "wait__done": 5, "notify": 2, "deadlock__found": 2}
"""Each with how many arguments it has."""

MUTEX, RMUTEX, COND, EVENT, SEMA, BARRIER = range(1, 7)
UNPARKED, TIMED_OUT, INTERRUPTED, GIVEN_UP, DEADLOCKED = range(5)

needs_probes = pytest.mark.skipif(
    not _core._has_probes, reason="built where <sys/sdt.h> was not installed"
)


class Note(NamedTuple):
    """What the note of one place in the code says."""

    provider: str
    name: str
    pc: int
    base: int
    semaphore: int
    arguments: list[str]


def sections(elf: bytes) -> dict[str, tuple[int, bytes]]:
    """The address and the contents of each section."""
    wide, order = elf[4] == 2, "<" if elf[5] == 1 else ">"
    start = struct.unpack_from(order + ("Q" if wide else "I"), elf, 0x28 if wide else 0x20)[0]
    size, count, names_at = struct.unpack_from(order + "HHH", elf, 0x3A if wide else 0x2E)
    layout = order + ("IIQQQQIIQQ" if wide else "10I")
    headers = [struct.unpack_from(layout, elf, start + n * size) for n in range(count)]
    names = headers[names_at][4]
    found = {}
    for name, _, _, address, offset, length, *_ in headers:
        text = elf[names + name : elf.index(b"\0", names + name)].decode()
        found[text] = address, elf[offset : offset + length]
    return found


def notes_of(path: str) -> list[Note]:
    elf = Path(path).read_bytes()
    assert elf[:4] == b"\x7fELF"
    order, word = "<" if elf[5] == 1 else ">", "Q" if elf[4] == 2 else "I"
    rest = sections(elf).get(".note.stapsdt", (0, b""))[1]
    notes = []
    while rest:
        name_length, length, kind = struct.unpack_from(order + "III", rest)
        begin = 12 + (name_length + 3) // 4 * 4
        assert (rest[12 : 12 + name_length], kind) == (b"stapsdt\0", 3)
        content = rest[begin : begin + length]
        places = struct.unpack_from(order + word * 3, content)
        provider, name, arguments, _ = content[struct.calcsize(word * 3) :].decode().split("\0", 3)
        notes.append(Note(provider, name, *places, arguments.split()))
        rest = rest[begin + (length + 3) // 4 * 4 :]
    return notes


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="probes are for Linux")
def test_the_notes_say_what_the_documents_say() -> None:
    notes = notes_of(_core.__file__)
    told = {note.name: len(note.arguments) for note in notes}
    assert told == (PROBES if _core._has_probes else {})
    assert {note.provider for note in notes} <= {"pyfastlock"}
    semaphores = defaultdict(set)
    for note in notes:
        semaphores[note.name].add(note.semaphore)
        assert all(re.match(r"-?[48]@", argument) for argument in note.arguments), note
    # Each has one of its own, where the loader puts writable data.
    address, content = sections(Path(_core.__file__).read_bytes()).get(".probes", (0, b""))
    taken = [address for each in semaphores.values() for address in each]
    assert len(taken) == len(set(taken)) == len(notes and PROBES)
    assert all(address <= each <= address + len(content) - 2 for each in taken)


# Somebody listens

SCRIPT = """\
import sys, threading
from pyfastlock import Condition, DeadlockError, Event, RLock, _core

{prelude}
first, second, cond, event = RLock(), RLock(), Condition(), Event()
both_hold = threading.Barrier(2)

def tell(*what):
    print("say", *what, flush=True)

def place(thing):
    return f"{{id(thing)}}+{{type(thing).__basicsize__}}"

def cross(name, held, wanted):
    with held:
        both_hold.wait(30)
        try:
            wanted.acquire()
        except DeadlockError:
            tell("victim", threading.get_ident(), place(wanted))
        else:
            tell("other", threading.get_ident(), place(wanted))
            wanted.release()

def notify():
    with cond:
        cond.notify_all()

threads = [
    threading.Thread(target=cross, args=(1, first, second)),
    threading.Thread(target=cross, args=(2, second, first)),
]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
notifier = threading.Thread(target=notify)
with cond:
    notifier.start()
    assert cond.wait(30)
notifier.join()
assert not event.wait(0.02)
tell("cond", place(cond))
tell("event", place(event))
"""

LISTEN = """\
set pagination off
set debuginfod enabled off
set breakpoint pending on
set print thread-events off
set detach-on-fork on
handle all nostop noprint pass
"""


def in_object(key: int, told: str) -> bool:
    begin, size = map(int, told.split("+"))
    return begin < key < begin + size


def gdb_works() -> bool:
    """There is one that may trace a process, numbers are wide, and no sanitizer is in between."""
    if sys.maxsize < 2**32 or shutil.which("gdb") is None or os.environ.get("LD_PRELOAD"):
        return False
    command = ["gdb", "-nx", "-batch", "-ex", "run", "--args", sys.executable, "-c", "print(6 * 7)"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    return "42" in done.stdout and "exited normally" in done.stdout


@needs_probes
def test_what_a_debugger_hears(tmp_path: Path) -> None:
    if not gdb_works():
        pytest.skip("there is no gdb that may trace a process")
    commands = LISTEN
    for name, arguments in PROBES.items():
        values = ", ".join(f"$_probe_arg{n}" for n in range(arguments))
        commands += f"break -probe-stap pyfastlock:{name}\ncommands\nsilent\n"
        commands += f'printf "hear {name}{" %ld" * arguments}\\n", {values}\n'
        if name == "notify":
            commands += "delete 1\n"  # from now on nobody listens to wait__start
        commands += "continue\nend\n"
    (tmp_path / "listen").write_text(commands + "run\n")
    (tmp_path / "script.py").write_text(textwrap.dedent(SCRIPT).format(prelude=""))
    command = ["gdb", "-nx", "-batch", "-x", str(tmp_path / "listen"), "--args"]
    command += [sys.executable, str(tmp_path / "script.py")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    text = done.stdout + done.stderr
    assert "exited normally" in text, text

    heard, said = defaultdict(list), defaultdict(list)
    for line in re.findall(r"\b(?:hear|say) .*", text):
        kind, name, *values = line.split()
        if kind == "hear":
            heard[name].append([int(value) for value in values])
        else:
            said[name] = values
    victim, wanted = int(said["victim"][0]), said["victim"][1]
    other, others = int(said["other"][0]), said["other"][1]
    (cond,), (event,) = said["cond"], said["event"]

    [(thread, key)] = heard["deadlock__found"]
    assert thread % 2**64 == victim % 2**64, text
    assert in_object(key, wanted), text

    ended = defaultdict(list)
    for key, kind, owner, waited_ns, result in heard["wait__done"]:
        is_late = in_object(key, event)
        assert is_late or [key, kind, owner] in heard["wait__start"], text
        assert 0 < waited_ns < 60e9, text
        ended[next((t for t in (wanted, others, cond, event) if in_object(key, t)), None)].append(
            (kind, owner, result)
        )
    assert ended[wanted] == [(RMUTEX, other, DEADLOCKED)], text
    assert (RMUTEX, victim, UNPARKED) in ended[others], text
    assert (COND, 0, UNPARKED) in ended[cond], text
    assert ended[event] == [(EVENT, 0, TIMED_OUT)], text
    assert not any(in_object(key, event) for key, *_ in heard["wait__start"]), text
    [(key, count)] = heard["notify"]
    assert in_object(key, cond), text
    assert count == 1


@needs_probes
def test_waits_work_while_somebody_listens(tmp_path: Path) -> None:
    """A tracer of the kernel counts the semaphores up; here the program does so itself."""
    semaphores = sorted({note.semaphore for note in notes_of(_core.__file__)})
    prelude = textwrap.dedent(f"""\
        import ctypes
        for line in open("/proc/self/maps"):
            fields = line.split()
            if fields[-1] == _core.__file__ and int(fields[2], 16) == 0:
                load = int(fields[0].partition("-")[0], 16)
        for semaphore in {semaphores}:
            ctypes.c_ushort.from_address(load + semaphore).value += 1
    """)
    script = tmp_path / "script.py"
    script.write_text(textwrap.dedent(SCRIPT).format(prelude=prelude))
    command = [sys.executable, str(script)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stderr
    said = sorted(line.split()[1] for line in done.stdout.splitlines())
    assert said == ["cond", "event", "other", "victim"], done.stdout + done.stderr
