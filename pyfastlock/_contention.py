"""Contention: who waits for which object, how long and where; and names for objects.

The C code records (csrc/types/contention.h).  Here its numbers become a report.
"""

from time import monotonic

from pyfastlock._core import (
    _read_contention,
    _set_name,
    _start_contention,
    _stop_contention,
)

TYPE_CHECKING = False  # `typing` costs more to import than all the rest of the package
if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from types import TracebackType
    from typing import Any

    from pyfastlock import (
        Barrier,
        Condition,
        Event,
        Lock,
        RLock,
        Semaphore,
    )

RawPlace = tuple[str, int, str] | None
RawCall = tuple[RawPlace, RawPlace, int, float, float]
Raw = tuple[int, int, str, str, str | None, RawPlace, list[RawCall]]
"""A record, as fl_contention_read has it."""

NEWS = ("Condition", "Event", "Barrier")
"""Waiting for these is how a program waits for work or for others: seldom what makes it slow."""


class Place:
    """A line of the program, as a ContentionReport shows it.

    file:     the path of the file, as a traceback has it.
    line:     the number of the line; 0 where the code has none.
    function: the qualified name of the function.
    """

    __slots__ = __match_args__ = ("file", "line", "function")

    def __init__(self, file: str, line: int, function: str) -> None:
        self.file = file
        self.line = line
        self.function = function

    def __repr__(self) -> str:
        return f"Place({self.file!r}, {self.line!r}, {self.function!r})"

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


class WaitingCall:
    """The waits of one line of the program for one object, in a ContentionReport.

    place:   the Place of the call that waited.
    holder:  the Place of the thread that held the object when the wait began; None where it is not
             known: only a Lock and an RLock know theirs, and only with the GIL it is asked.
    waits:   how many waits there were.
    total:   how many seconds they took together.
    longest: how many seconds the longest of them took.

    place and holder are None where so many lines waited that the rest was put together.
    """

    __slots__ = __match_args__ = ("place", "holder", "waits", "total", "longest")

    def __init__(
        self,
        place: "Place | None",
        holder: "Place | None",
        waits: int,
        total: float,
        longest: float,
    ) -> None:
        self.place = place
        self.holder = holder
        self.waits = waits
        self.total = total
        self.longest = longest

    def __repr__(self) -> str:
        return _repr_of(self, self.__slots__)


class Contention:
    """The waits for one object, in a ContentionReport.

    number:  the object's number in the report, in the order in which the objects were seen first.
    kind:    the name of its type in this package; empty where freed objects were put together.
    class_name: the name of its class, which may be a subclass of that type.
    name:    what set_name() called it; None where it has no name.
    made:    the Place where it was made; None where it was made before the recording.
    objects: how many objects this is about: 1, or more where so many were freed that those made at
             one place were put together.
    calls:   a list of WaitingCall objects, with the longest `total` first.
    waits:   how many waits there were.
    total:   how many seconds they took together.
    longest: how many seconds the longest of them took.
    """

    __slots__ = __match_args__ = (
        "number",
        "kind",
        "class_name",
        "name",
        "made",
        "objects",
        "calls",
        "waits",
        "total",
        "longest",
    )

    def __init__(
        self,
        number: int,
        kind: str,
        class_name: str,
        name: "str | None",
        made: "Place | None",
        objects: int,
        calls: "list[WaitingCall]",
    ) -> None:
        self.number = number
        self.kind = kind
        self.class_name = class_name
        self.name = name
        self.made = made
        self.objects = objects
        self.calls = calls
        self.waits = sum(call.waits for call in calls)
        self.total = sum(call.total for call in calls)
        self.longest = max(call.longest for call in calls)

    def __repr__(self) -> str:
        return _repr_of(self, self.__slots__)


class ContentionReport:
    """What contention() or stop_contention() has recorded.

    locks:   a list of Contention objects: first those for Locks, RLocks and semaphores, then those
             for Conditions, Events and Barriers; in both the longest `total` first.  While the
             recording goes on it is what there is so far.
    seconds: how many seconds the recording lasted, or has lasted so far.
    lost:    how many waits and objects are missing as there was no memory to note them.

    str() makes a table of it.
    """

    def __init__(self) -> None:
        self._begin = monotonic()
        self._end: float | None = None
        self._locks: list[Contention] = []
        self._lost = 0
        # What was recorded, after the stop and until it is in the report: there may be no memory.
        self._recorded: tuple[list[Raw], int] | None = None

    @property
    def locks(self) -> "list[Contention]":
        """What was waited for, a list of Contention objects."""
        self._look()
        return self._locks

    @property
    def seconds(self) -> float:
        """How many seconds the recording lasted, or has lasted so far."""
        return (monotonic() if self._end is None else self._end) - self._begin

    @property
    def lost(self) -> int:
        """How many waits and objects are missing as there was no memory to note them."""
        self._look()
        return self._lost

    def _look(self) -> None:
        """Read what there is so far, where the recording goes on."""
        if _current[0] is not self or self._recorded is not None:
            return
        try:
            recorded = _read_contention()
        except RuntimeError:  # another thread has stopped it just now
            return
        self._fill(recorded)

    def _fill(self, recorded: "tuple[list[Raw], int]") -> None:
        records, self._lost = recorded
        locks = [_contention_of(record) for record in records]
        locks.sort(key=lambda lock: (lock.kind in NEWS, -lock.total, lock.number))
        self._locks = locks

    def json(self) -> str:
        """Return the report as JSON, a string.

        An object with the keys `seconds`, `lost` and `locks`; what is in them has the names and the
        units of the attributes of Contention, WaitingCall and Place.
        """
        from json import dumps

        locks = [_plain(lock) for lock in self.locks]
        whole = {"seconds": self.seconds, "lost": self.lost, "locks": locks}
        return dumps(whole, indent=1)

    def collapsed(self) -> str:
        """Return the report as collapsed stacks, which flamegraph.pl and speedscope read.

        A line for each waiting call and holder: the object, the call, the holder where it is
        known, and the microseconds of its waits.
        """
        lines = []
        for lock in self.locks:
            for call in lock.calls:
                frames = [_lock_text(lock), _call_text(call.place)]
                if call.holder is not None:
                    frames.append(f"held by {_call_text(call.holder)}")
                stack = ";".join(_frame(frame) for frame in frames)
                lines.append(f"{stack} {round(call.total * 1e6)}\n")
        return "".join(lines)

    def __str__(self) -> str:
        locks = self.locks
        parts = [f"Contention in {self.seconds:.3f} s"]
        if self.lost:
            parts.append(f"{self.lost} waits or objects are missing: there was no memory")
        for title, news in (("waits for locks and semaphores", False), ("waits for news", True)):
            shown = [lock for lock in locks if (lock.kind in NEWS) == news]
            if shown:
                parts.append("")
                parts.extend(_table(title, shown))
        if not locks:
            parts.append("nobody has waited")
        return "\n".join(parts) + "\n"

    def __repr__(self) -> str:
        waits = sum(lock.waits for lock in self.locks)
        return f"<ContentionReport: {waits} waits in {self.seconds:.3f} s>"


def _repr_of(value: "Any", names: "tuple[str, ...]") -> str:
    values = (f"{name}={getattr(value, name)!r}" for name in names)
    return f"{type(value).__name__}({', '.join(values)})"


def _place_of(raw: "RawPlace") -> "Place | None":
    return None if raw is None else Place(*raw)


def _contention_of(raw: "Raw") -> Contention:
    number, objects, kind, class_name, name, made, raw_calls = raw
    calls = [
        WaitingCall(_place_of(place), _place_of(holder), waits, total, longest)
        for place, holder, waits, total, longest in raw_calls
    ]
    calls.sort(key=lambda call: -call.total)
    return Contention(number, kind, class_name, name, _place_of(made), objects, calls)


def _plain(value: "Any") -> "Any":
    """Return the value as JSON has it."""
    if isinstance(value, list):
        return [_plain(each) for each in value]
    if isinstance(value, (Contention, WaitingCall, Place)):
        return {name: _plain(getattr(value, name)) for name in value.__slots__}
    return value


def _lock_text(lock: Contention) -> str:
    """Return what tells the reader which object it is."""
    words = [lock.class_name]
    if lock.name is not None:
        words.append(repr(lock.name))
    if lock.made is not None:
        words.append(f"of {lock.made}")
    if lock.name is None and lock.made is None:
        words.append(f"#{lock.number}")
    if lock.objects > 1:
        words.append(f"({lock.objects} objects)")
    return " ".join(words)


def _call_text(place: "Place | None") -> str:
    return "elsewhere" if place is None else f"{place.function} ({place})"


def _frame(text: str) -> str:
    """Return the text as a frame of a collapsed stack, where `;` and the line's end part things."""
    return " ".join(text.replace(";", ":").split())


def _table(title: str, locks: "list[Contention]") -> "list[str]":
    """Return the lines of a table: each object, and under it the calls that waited."""
    rows = [(title, "waits", "total s", "longest s")]
    for lock in locks:
        rows.append(_row(_lock_text(lock), lock))
        for call in lock.calls:
            rows.append(_row(f"  {_call_text(call.place)}", call))
            if call.holder is not None:
                rows.append((f"    held by {_call_text(call.holder)}", "", "", ""))
    widths = [max(len(row[i]) for row in rows) for i in range(4)]
    return [
        f"{row[0]:<{widths[0]}}  {row[1]:>{widths[1]}}  {row[2]:>{widths[2]}}  "
        f"{row[3]:>{widths[3]}}".rstrip()
        for row in rows
    ]


def _row(text: str, waits: "Contention | WaitingCall") -> "tuple[str, str, str, str]":
    return text, str(waits.waits), f"{waits.total:.6f}", f"{waits.longest:.6f}"


_current: "list[ContentionReport | None]" = [None]
"""The report of the recording that goes on in this interpreter, if there is one.

It has its place beforehand: to put it there needs no memory."""


def start_contention() -> None:
    """Start to record waits for objects of this package, in all threads of this interpreter.

    A call that waits notes its time, its line and, where it is known, the line of the thread that
    holds the object.  What never waits costs what it costs without.

    Raises RuntimeError where waits are being recorded already.
    """
    _start()


def stop_contention() -> ContentionReport:
    """Stop recording, and return the report.

    A wait that has not ended by then is not in it.  Where there is no memory for the report,
    nothing is recorded any more, and another call returns it.

    Raises RuntimeError where waits are not being recorded.
    """
    report = _current[0]
    if report is None:
        report = ContentionReport()
    # The rest can be done again, if it fails.  So nothing is lost.
    if report._recorded is None:
        report._recorded = _stop_contention()
    if report._end is None:
        report._end = monotonic()
    report._fill(report._recorded)
    _current[0] = report._recorded = None
    return report


class _Recording:
    """What contention() returns: a recording as long as the with-block."""

    def __init__(self) -> None:
        self._report: ContentionReport | None = None

    def __enter__(self) -> ContentionReport:
        self._report = _start()
        return self._report

    def __exit__(
        self,
        kind: "type[BaseException] | None",
        value: "BaseException | None",
        traceback: "TracebackType | None",
    ) -> None:
        if self._report is _current[0]:  # the block may have stopped it
            stop_contention()


def contention() -> "AbstractContextManager[ContentionReport]":
    """Return a context manager that records waits during its block.

        with contention() as report:
            ...
        print(report)

    The report is a ContentionReport; it is complete after the block.

    Raises RuntimeError, on entry, where waits are being recorded already.
    """
    return _Recording()


def _start() -> ContentionReport:
    report = ContentionReport()
    _start_contention()
    _current[0] = report
    return report


def set_name(
    lock: "Lock | RLock | Condition | Event | Semaphore | Barrier", name: "str | None"
) -> None:
    """Give an object of this package a name, for reports, dumps and DeadlockError.

    lock: any object of this package's types, or of a subclass.
    name: a str; None takes the name away.

    The name goes with the object, and does not keep it alive.

    Raises TypeError for another object, and for a name that is neither a str nor None;
    UnicodeEncodeError for a name with surrogates.
    """
    _set_name(lock, name)
