"""A pattern: a small program of two or three threads, and an outcome that must not be reached.

README.md describes the language.  A pattern is parsed from the text of a file in patterns/.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from itertools import product
from pathlib import Path

ATOMIC = re.compile(
    r"fl_(load|store|add|exchange|cas)_(relaxed|acquire|release|acq_rel)_(?:u32|u64|ptr)"
)
"""An operation of csrc/platform/atomic.h."""

ARGUMENTS = {"load": 1, "store": 2, "add": 2, "exchange": 2, "cas": 3}
TAKES = ("lock", "lock_relaxed", "take", "take_relaxed")
GIVES = ("unlock", "unlock_relaxed", "post", "post_relaxed")
LOCKS = ("lock", "lock_relaxed", "unlock", "unlock_relaxed")
OTHERS = {**dict.fromkeys(TAKES + GIVES, 1), "torn_cas": 3, "poison": 1}
"""What is not in atomic.h: the system's mutexes and semaphores, and what weakened patterns need."""

ORDERS_MUCH = ("acquire", "release", "acq_rel")
POISON = 99


class PatternError(Exception):
    """A pattern is not written as README.md says."""


@dataclass(frozen=True)
class Citation:
    """A function of the code that does the operation."""

    file: str
    function: str


@dataclass(frozen=True)
class Operation:
    """One step of a thread.  `name` is `read` or `write` for a plain access."""

    name: str
    place: str
    values: tuple[int, ...] = ()
    result: str | None = None
    citations: tuple[Citation, ...] = ()

    @property
    def kind(self) -> str:
        found = ATOMIC.fullmatch(self.name)
        return found[1] if found else self.name

    @property
    def order(self) -> str:
        found = ATOMIC.fullmatch(self.name)
        return found[2] if found else "plain"

    @property
    def acquires(self) -> bool:
        return self.order in {"acquire", "acq_rel"} or self.name in {"lock", "take"}

    @property
    def releases(self) -> bool:
        return self.order in {"release", "acq_rel"} or self.name in {"unlock", "post"}


@dataclass(frozen=True)
class Choice:
    """An `if`."""

    register: str
    equal: bool
    value: int
    then: tuple[Step, ...]
    otherwise: tuple[Step, ...]


Step = Operation | Choice


@dataclass(frozen=True)
class Remark:
    """What the pattern says of one ordering: `weaker`, `kept` or `enough`."""

    verb: str
    thread: str
    old: str
    new: str
    reason: str

    def __str__(self) -> str:
        return (
            f"{self.thread}: {self.old} -> {self.new}" if self.new else f"{self.thread}: {self.old}"
        )


@dataclass
class Pattern:
    name: str
    head: str
    constants: dict[str, int]
    plain: dict[str, int]
    atomic: dict[str, int]
    mutexes: list[str]  # and semaphores
    bodies: dict[str, str]
    outcome: str
    remarks: list[Remark] = field(default_factory=list)
    shared: set[str] = field(default_factory=set)
    """The plain places that a program accesses atomically, without order, as Python does."""
    first: dict[str, str] = field(default_factory=dict)
    """Which thread has each mutex first, in one of orders()."""

    def threads(self) -> dict[str, tuple[Step, ...]]:
        return {
            name: self._in_order(name, _Body(self, text).steps)
            for name, text in self.bodies.items()
        }

    def orders(self) -> list[Pattern]:
        """The pattern for each order in which the threads may have its mutexes.

        Of the two threads that use a mutex the first one only gives it free, and the second one
        only takes it: it goes on where it reads what the first one has written.  That is all that
        orders them; and the fewer accesses there are, the less there is to simulate.
        """
        users = {
            mutex: [
                thread
                for thread, steps in self.threads().items()
                if any(step.place == mutex and step.name in LOCKS for step in operations(steps))
            ]
            for mutex in self.mutexes
        }
        locked = {mutex: threads for mutex, threads in users.items() if threads}
        if any(len(threads) > 2 for threads in locked.values()):
            raise PatternError(f"{self.name}: a mutex is for two threads here")
        return [
            replace(self, first=dict(zip(locked, firsts, strict=True)))
            for firsts in product(*locked.values())
        ]

    def _in_order(self, thread: str, steps: tuple[Step, ...]) -> tuple[Step, ...]:
        kept: list[Step] = []
        for step in steps:
            if isinstance(step, Choice):
                then, otherwise = (
                    self._in_order(thread, part) for part in (step.then, step.otherwise)
                )
                kept.append(replace(step, then=then, otherwise=otherwise))
            elif step.name in LOCKS and step.place in self.first:
                is_first = self.first[step.place] == thread
                if is_first == (step.name in GIVES):
                    kept.append(step)
            else:
                kept.append(step)
        return tuple(kept)

    def registers(self) -> dict[str, int]:
        """The number of the thread that each register belongs to."""
        return {
            step.result: number
            for number, steps in enumerate(self.threads().values())
            for step in operations(steps)
            if step.result
        }

    def weakened(self, remark: Remark) -> Pattern:
        """The same with what the remark says, and nothing else, changed."""
        text = self.bodies[remark.thread]
        if remark.old.startswith("without "):
            mutex = remark.old.removeprefix("without ")
            changed, count = re.subn(
                rf"^\s*(un)?lock\({mutex}\);.*\n(\s*//.*\n)*", "", text, flags=re.MULTILINE
            )
            if count < 2:
                raise PatternError(f"{self.name}: {remark.thread} does not take {mutex}")
        else:
            changed, count = re.subn(
                rf"(?<!\w){re.escape(remark.old)}(?!\w)", lambda _: remark.new, text
            )
            if count != 1:
                raise PatternError(f"{self.name}: not once in {remark.thread}: {remark.old}")
        return replace(self, bodies={**self.bodies, remark.thread: changed})


def operations(steps: tuple[Step, ...]) -> list[Operation]:
    """All operations, also those under an `if`."""
    found: list[Operation] = []
    for step in steps:
        if isinstance(step, Choice):
            found += operations(step.then) + operations(step.otherwise)
        else:
            found.append(step)
    return found


class _Body:
    """The parser of one thread's lines."""

    def __init__(self, pattern: Pattern, text: str) -> None:
        self.pattern = pattern
        joined = re.sub(r"\n *//", ";", text)  # a citation on a line of its own
        self.lines = [line.strip() for line in joined.splitlines() if line.strip()]
        self.at = 0
        self.steps = self.block()
        if self.at != len(self.lines):
            raise PatternError(
                f"{pattern.name}: a block too many ends before {self.lines[self.at]}"
            )

    def block(self) -> tuple[Step, ...]:
        steps: list[Step] = []
        while self.at < len(self.lines) and not self.lines[self.at].startswith("}"):
            line = self.lines[self.at]
            self.at += 1
            steps.append(self.choice(line) if line.startswith("if ") else self.operation(line))
        return tuple(steps)

    def choice(self, line: str) -> Choice:
        found = re.fullmatch(r"if \((\w+) (==|!=) ([\w+]+)\) \{", line)
        if not found:
            raise PatternError(f"{self.pattern.name}: {line}")
        then = self.block()
        otherwise: tuple[Step, ...] = ()
        if self.lines[self.at] == "} else {":
            self.at += 1
            otherwise = self.block()
        if self.lines[self.at] != "}":
            raise PatternError(f"{self.pattern.name}: {self.lines[self.at]}")
        self.at += 1
        return Choice(found[1], found[2] == "==", self.value(found[3]), then, otherwise)

    def value(self, text: str) -> int:
        return value_of(self.pattern, text)

    def operation(self, line: str) -> Operation:
        code, _, comment = line.partition("//")
        cited = [part.split() for part in re.split("[;,]", comment) if part.strip()]
        if any(len(parts) != 2 for parts in cited):
            raise PatternError(f"{self.pattern.name}: a citation is a file and a function: {line}")
        citations = tuple(Citation(*parts) for parts in cited)
        found = re.fullmatch(r"(?:(\w+) = )?(\w+)(?:\((.*)\))?;", code.strip())
        if not found:
            raise PatternError(f"{self.pattern.name}: {line}")
        left, name, arguments = found[1], found[2], found[3]
        if arguments is None:
            return self.plain_access(left, name, line, citations)
        place, *values = (part.strip() for part in arguments.split(","))
        wanted = ARGUMENTS[m[1]] if (m := ATOMIC.fullmatch(name)) else OTHERS.get(name)
        if wanted != 1 + len(values):
            raise PatternError(f"{self.pattern.name}: {line}")
        known = self.pattern.mutexes if name in TAKES + GIVES else self.pattern.atomic
        if place not in known and not (name == "poison" and place in self.pattern.plain):
            raise PatternError(f"{self.pattern.name}: there is no {place}: {line}")
        return Operation(name, place, tuple(map(self.value, values)), left, citations)

    def plain_access(
        self, left: str | None, right: str, line: str, citations: tuple[Citation, ...]
    ) -> Operation:
        if left in self.pattern.plain:
            return Operation("write", left, (self.value(right),), None, citations)
        if right in self.pattern.plain and left:
            return Operation("read", right, (), left, citations)
        raise PatternError(f"{self.pattern.name}: neither side is plain memory: {line}")


def value_of(pattern: Pattern, text: str) -> int:
    """The number behind a constant, a number, or a sum of those."""
    try:
        return sum(
            int(part) if part.isdigit() else pattern.constants[part] for part in text.split("+")
        )
    except KeyError as error:
        raise PatternError(f"{pattern.name}: there is no constant {error}") from None


def _remark(name: str, line: str) -> Remark:
    found = re.fullmatch(r"(weaker|kept|enough) (\w+): (.*)", line)
    if not found:
        raise PatternError(f"{name}: {line}")
    verb, thread, rest = found[1], found[2], found[3]
    what, _, reason = rest.partition(" :: ")
    old, _, new = what.partition(" -> ")
    if verb == "enough" and (new or not reason):
        raise PatternError(f"{name}: `enough THREAD: TEXT :: reason`: {line}")
    if verb == "kept" and not (new and reason):
        raise PatternError(f"{name}: `kept THREAD: TEXT -> TEXT :: reason`: {line}")
    if verb == "weaker" and not new and not old.startswith("without "):
        raise PatternError(f"{name}: `weaker THREAD: TEXT -> TEXT`: {line}")
    return Remark(verb, thread, old, new, reason)


def parse(path: Path) -> Pattern:
    """Reads a file of patterns/."""
    name = path.stem
    text = path.read_text(encoding="utf-8")
    found = re.match(r"/\*(.*?)\*/\n", text, re.DOTALL)
    if not found:
        raise PatternError(f"{name}: no comment at the head")
    head = " ".join(line.strip(" *") for line in found[1].splitlines())
    rest = text[found.end() :]
    bodies = dict(re.findall(r"^thread (\w+) \{\n(.*?)^\}\n", rest, re.DOTALL | re.MULTILINE))
    rest = re.sub(r"^thread \w+ \{\n.*?^\}\n", "", rest, flags=re.DOTALL | re.MULTILINE)
    # A line that begins with spaces goes on with the one before it.
    lines = [line for line in re.sub(r"\n +", " ", rest).splitlines() if line.strip()]
    pattern = Pattern(name, head.strip(), {}, {}, {}, [], bodies, "")
    for line in lines:
        word, _, what = line.partition(" ")
        match word:
            case "values" | "plain" | "shared" | "atomic":
                table = {"values": "constants", "shared": "plain"}.get(word, word)
                for item in what.split(","):
                    key, value = (part.strip() for part in item.split("="))
                    getattr(pattern, table)[key] = value_of(pattern, value)
                    if word == "shared":
                        pattern.shared.add(key)
            case "mutex" | "semaphore":
                pattern.mutexes += [part.strip() for part in what.split(",")]
            case "never":
                pattern.outcome = what
            case _:
                pattern.remarks.append(_remark(name, line))
    if len(bodies) < 2 or not pattern.outcome:
        raise PatternError(f"{name}: a pattern has two threads or more, and an outcome")
    return pattern


def what_is_missing(pattern: Pattern) -> list[str]:
    """The operations of which no remark says why their ordering is what it is."""
    missing: list[str] = []
    for thread, steps in pattern.threads().items():
        mine = [remark for remark in pattern.remarks if remark.thread == thread]
        for operation in operations(steps):
            if not ATOMIC.fullmatch(operation.name):
                continue
            verbs = ("weaker", "kept") if operation.order in ORDERS_MUCH else ("enough", "weaker")
            if not any(remark.verb in verbs and operation.name in remark.old for remark in mine):
                missing.append(f"{pattern.name}: {thread}: {operation.name}: nothing says why")
            if not operation.citations:
                missing.append(f"{pattern.name}: {thread}: {operation.name}: cites no function")
    if not any(remark.verb == "weaker" for remark in pattern.remarks):
        missing.append(
            f"{pattern.name}: nothing makes the outcome reachable, so the pattern proves nothing"
        )
    return missing
