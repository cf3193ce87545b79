"""``python -m pyfastlock dump PID``: asks a running program which threads wait for which locks.

`sys.remote_exec` has the main thread of that program run a script, as soon as it polls for signals.
It does so while it runs Python, and while it waits for a lock of ours.  A wait for a lock of the
standard library, for the end of a thread, or in somebody's C code does not poll.

The main thread may have left the queue of its lock to run the script.  So another thread answers, a
moment later, when the main thread waits again.
"""

import os
import shutil
import sys
import tempfile
import time

LIMIT_S = 5.0
"""How long a program may take to answer."""

SCRIPT = """\
def answer(folder):
    import os, sys, time, traceback
    time.sleep(0.02)
    pyfastlock = sys.modules.get("pyfastlock")
    name = "answer"
    with open(os.path.join(folder, "draft"), "w", encoding="utf-8") as file:
        try:
            if pyfastlock is None:
                file.write("pyfastlock is not imported there, so no lock is one of its locks\\n")
            else:
                pyfastlock.dump_locks(file)
        except BaseException:
            name = "failure"
            traceback.print_exc(file=file)
    os.rename(file.name, os.path.join(folder, name))

import _thread
_thread.start_new_thread(answer, ({folder!r},))
"""

LATE_SCRIPT = "import shutil\nshutil.rmtree({folder!r}, ignore_errors=True)\n"
"""What a program runs that answers when nobody listens any more."""

SILENT = """\
process {pid} did not answer within {limit_s:g} seconds: its main thread runs no Python, and waits
for no lock of pyfastlock, but for one of the standard library, for the end of a thread, or in C\
"""

FORBIDDEN = """\
process {pid} cannot be asked: the permission is missing, which a debugger would need as well; try
as the user that runs it, or as root\
"""

UNFIT = """\
process {pid} cannot be asked: {error}
(it has to be a program of Python {version}, as this command is)\
"""

INSTEAD = """\
A program that has registered a signal prints its locks at that signal, whatever its threads do:
  python -m pyfastlock --dump-signal=SIGUSR1 ...   or   pyfastlock.register(signal.SIGUSR1)
  kill -USR1 {pid}\
"""


def dump(pid: int, limit_s: float = LIMIT_S) -> int:
    """Print the locks of the process, or on stderr why that cannot be.  Return the exit status."""
    version = "{}.{}".format(*sys.version_info)
    remote_exec = getattr(sys, "remote_exec", None)
    if remote_exec is None:
        return _fail(f"Python {version} cannot ask a running program; 3.14 can", pid)
    if pid == os.getpid():
        return _fail(f"process {pid} is this command")
    if not _is_alive(pid):
        return _fail(f"there is no process {pid}")
    if not _may_ask(pid):
        return _fail(FORBIDDEN.format(pid=pid), pid)
    folder = tempfile.mkdtemp(prefix="pyfastlock-dump-")
    keeps = False
    try:
        # It stays open: root does not open by its name what is in a folder of another user.
        with open(os.path.join(folder, "script.py"), "w", encoding="utf-8") as script:
            script.write(SCRIPT.format(folder=folder))
            script.flush()
            _give_to_owner(pid, folder, script.name)
            try:
                remote_exec(pid, script.name)
            except (OSError, RuntimeError) as error:
                return _fail(UNFIT.format(pid=pid, error=error, version=version), pid)
            answer = _await(folder, pid, limit_s)
            if answer is None and _is_alive(pid):
                script.seek(0)
                script.truncate()
                script.write(LATE_SCRIPT.format(folder=folder))
                keeps = True
    finally:
        if not keeps:
            shutil.rmtree(folder, ignore_errors=True)
    if answer is None:
        if not keeps:
            return _fail(f"process {pid} has ended")
        return _fail(SILENT.format(pid=pid, limit_s=limit_s), pid)
    name, text = answer
    if name == "failure":
        return _fail(f"process {pid} failed to answer:\n{text}", pid)
    print(text, end="", flush=True)
    return 0


def _may_ask(pid: int) -> bool:
    """Whether the system lets us look into the process.  `sys.remote_exec` may not say so."""
    try:
        with open(f"/proc/{pid}/maps", "rb") as maps:
            maps.read(1)
    except PermissionError:
        return False
    except OSError:
        pass  # a system without /proc
    return True


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except PermissionError:
        return True
    except (OSError, OverflowError):
        return False
    return True


def _give_to_owner(pid: int, *paths: str) -> None:
    """Let the process read and write there: root asks a program of another user."""
    if os.geteuid() == 0:
        try:
            owner = os.stat(f"/proc/{pid}")
        except OSError:
            return
        for path in paths:
            os.chown(path, owner.st_uid, owner.st_gid)


def _await(folder: str, pid: int, limit_s: float) -> "tuple[str, str] | None":
    """The name and the text of the file with the answer; None where there is none in time."""
    end = time.monotonic() + limit_s
    while True:
        in_time = time.monotonic() < end and _is_alive(pid)
        for name in ("answer", "failure"):
            try:
                fd = os.open(os.path.join(folder, name), os.O_RDONLY | os.O_NOFOLLOW)
                with open(fd, encoding="utf-8") as file:
                    return name, file.read()
            except FileNotFoundError:
                pass
        if not in_time:
            return None
        time.sleep(0.01)


def _fail(why: str, pid: "int | None" = None) -> int:
    """Say why; and what to do instead, where there is such a process."""
    print(f"pyfastlock: {why}", file=sys.stderr)
    if pid is not None:
        print(INSTEAD.format(pid=pid), file=sys.stderr)
    return 1
