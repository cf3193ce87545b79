"""What herd7 gets: a pattern as a C11 litmus test, and as the instructions that compilers make.

A thread that waits for a mutex, and one whose store-conditional fails, would try again in the code.
Here it stops instead, its register `lost` is not 0, and the outcome asks for executions in which no
thread has lost.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from pattern import (
    GIVES,
    POISON,
    TAKES,
    Choice,
    Operation,
    Pattern,
    PatternError,
    Step,
    operations,
    value_of,
)

LOST = "lost"
NOT_YET = 1
"""What is in a mutex before its first user gives it free, in a semaphore before its token comes."""


class Machine:
    """One model, and how a pattern is written for it."""

    title: str
    model: str

    def litmus(self, pattern: Pattern, name: str) -> str:
        raise NotImplementedError

    def register(self, pattern: Pattern, thread: int, name: str) -> str:
        raise NotImplementedError

    def condition(self, pattern: Pattern) -> str:
        """The outcome, in herd7's words."""
        threads = pattern.registers()

        def term(found: re.Match[str]) -> str:
            left, value = found[1], value_of(pattern, found[2])
            if left.startswith("["):
                return f"{left}={value}"
            if left not in threads:
                raise PatternError(f"{pattern.name}: no register {left}")
            return f"{threads[left]}:{self.register(pattern, threads[left], left)}={value}"

        text = re.sub(r"(\[?\w+\]?) == ([\w+]+)", term, pattern.outcome)
        text = text.replace(" and ", " /\\ ").replace(" or ", " \\/ ")
        none_lost = " /\\ ".join(
            f"{thread}:{self.register(pattern, thread, LOST)}=0"
            for thread in range(len(pattern.bodies))
        )
        return f"exists (({text}) /\\ {none_lost})"


# ---- C11 ----

ORDER_IN_C = {
    "relaxed": "memory_order_relaxed",
    "acquire": "memory_order_acquire",
    "release": "memory_order_release",
    "acq_rel": "memory_order_acq_rel",
}


class C11(Machine):
    title = "C11"
    model = "rc11.cat"

    def register(self, pattern: Pattern, thread: int, name: str) -> str:
        return name

    def litmus(self, pattern: Pattern, name: str) -> str:
        places = {**pattern.plain, **pattern.atomic, **dict.fromkeys(pattern.mutexes, NOT_YET)}
        threads: list[str] = []
        for number, steps in enumerate(pattern.threads().values()):
            body = _CThread(number, pattern.shared)
            body.block(steps, "  ")
            places |= body.expected
            plain = pattern.plain.keys() - pattern.shared
            kinds = {
                place: "int" if place in body.expected or place in plain else "atomic_int"
                for place in places
                if place in body.used
            }
            arguments = ", ".join(f"{kind}* {place}" for place, kind in kinds.items())
            results = dict.fromkeys(op.result for op in operations(steps) if op.result)
            head = [f"P{number} ({arguments}) {{", f"  int {LOST} = 0;"]
            head += [f"  int {result} = 0;" for result in [*results, *body.temporaries]]
            threads.append("\n".join([*head, *body.lines, "}"]))
        first = " ".join(f"{place}={value};" for place, value in places.items())
        return "\n".join([f"C {name}", f"{{ {first} }}", *threads, self.condition(pattern), ""])


class _CThread:
    def __init__(self, number: int, shared: set[str]) -> None:
        self.number = number
        self.shared = shared
        self.lines: list[str] = []
        self.used: set[str] = set()
        self.expected: dict[str, int] = {}
        self.temporaries: list[str] = []

    def block(self, steps: tuple[Step, ...], indent: str) -> None:
        for at, step in enumerate(steps):
            rest = steps[at + 1 :]
            if isinstance(step, Choice):
                stops = any(op.kind in TAKES for op in operations((step,)))
                sign = "==" if step.equal else "!="
                self.lines.append(f"{indent}if ({step.register} {sign} {step.value}) {{")
                self.block(step.then + (rest if stops else ()), indent + "  ")
                self.lines.append(f"{indent}}}")
                otherwise = step.otherwise + (rest if stops else ())
                if otherwise:
                    self.lines.append(f"{indent}else {{")
                    self.block(otherwise, indent + "  ")
                    self.lines.append(f"{indent}}}")
                if stops:
                    return
                continue
            self.lines += [indent + line for line in self.operation(step)]
            if step.kind in TAKES and rest:
                self.lines.append(f"{indent}if ({LOST} == 0) {{")
                self.block(rest, indent + "  ")
                self.lines.append(f"{indent}}}")
                return

    def temporary(self) -> str:
        self.temporaries.append(f"t{len(self.temporaries)}")
        return self.temporaries[-1]

    def operation(self, op: Operation) -> Iterator[str]:
        place, result = op.place, op.result
        self.used.add(place)
        order = ORDER_IN_C.get(op.order, "")
        match op.kind:
            case "read" if place in self.shared:
                yield f"{result} = atomic_load_explicit({place}, memory_order_relaxed);"
            case "write" if place in self.shared:
                yield f"atomic_store_explicit({place}, {op.values[0]}, memory_order_relaxed);"
            case "read":
                yield f"{result} = *{place};"
            case "write":
                yield f"*{place} = {op.values[0]};"
            case "poison":
                yield f"*{place} = {POISON};"
            case name if name in TAKES:
                order = "memory_order_acquire" if op.acquires else "memory_order_relaxed"
                yield f"{LOST} = atomic_load_explicit({place}, {order});"
            case name if name in GIVES:
                order = "memory_order_release" if op.releases else "memory_order_relaxed"
                yield f"atomic_store_explicit({place}, 0, {order});"
            case "load":
                yield f"{result} = atomic_load_explicit({place}, {order});"
            case "store":
                yield f"atomic_store_explicit({place}, {op.values[0]}, {order});"
            case "exchange":
                yield f"{result} = atomic_exchange_explicit({place}, {op.values[0]}, {order});"
            case "add":
                call = f"{place}, {op.values[0]}, {order}"
                yield f"{self.temporary()} = atomic_fetch_add_explicit({call});"
            case "torn_cas":
                yield f"{result} = atomic_load_explicit({place}, memory_order_relaxed);"
                yield f"if ({result} == {op.values[0]}) {{"
                yield f"  atomic_store_explicit({place}, {op.values[1]}, memory_order_relaxed); }}"
            case "cas":
                expected = f"e{self.number}_{len(self.expected)}"
                self.expected[expected] = op.values[0]
                self.used.add(expected)
                failing = order if op.order == "acquire" else "memory_order_relaxed"
                call = f"{place}, {expected}, {op.values[1]}, {order}, {failing}"
                yield f"{self.temporary()} = atomic_compare_exchange_strong_explicit({call});"
                yield f"{result} = *{expected};"
            case _:
                raise PatternError(op.name)


# ---- processors ----


class Processor(Machine):
    """Writes the columns of an assembly litmus test."""

    architecture: str
    results: tuple[str, ...]
    lost: str
    addresses_in_registers = True

    def register(self, pattern: Pattern, thread: int, name: str) -> str:
        if name == LOST:
            return self.lost
        steps = list(pattern.threads().values())[thread]
        names = list(dict.fromkeys(op.result for op in operations(steps) if op.result))
        return self.results[names.index(name)]

    def address(self, pattern: Pattern, place: str) -> str:
        raise NotImplementedError

    def first_state(self, pattern: Pattern) -> str:
        places = {**pattern.plain, **pattern.atomic, **dict.fromkeys(pattern.mutexes, NOT_YET)}
        state = [f"{place}={value};" for place, value in places.items()]
        if self.addresses_in_registers:
            for thread in range(len(pattern.bodies)):
                state += [f"{thread}:{self.address(pattern, place)}={place};" for place in places]
        return " ".join(state)

    def litmus(self, pattern: Pattern, name: str) -> str:
        columns: list[list[str]] = []
        for number, steps in enumerate(pattern.threads().values()):
            column = _Column(self, pattern, number)
            column.block(steps)
            columns.append([f"P{number}", *column.lines, f"END{number}:"])
        height = max(map(len, columns))
        rows = [
            " | ".join(column[row] if row < len(column) else "" for column in columns) + " ;"
            for row in range(height)
        ]
        head = [f"{self.architecture} {name}", f"{{ {self.first_state(pattern)} }}"]
        return "\n".join([*head, *(f" {row}" for row in rows), self.condition(pattern), ""])

    def operation(self, op: Operation, at: str, result: str, end: str, label: str) -> Iterator[str]:
        raise NotImplementedError

    def branch(self, register: str, equal: bool, value: int, label: str) -> Iterator[str]:
        """Goes to the label where the comparison is true."""
        raise NotImplementedError

    def jump(self, label: str) -> str:
        raise NotImplementedError


class _Column:
    def __init__(self, processor: Processor, pattern: Pattern, number: int) -> None:
        self.processor = processor
        self.pattern = pattern
        self.number = number
        self.lines: list[str] = []
        self.labels = 0

    def label(self) -> str:
        self.labels += 1
        return f"L{self.number}{self.labels}"

    def block(self, steps: tuple[Step, ...]) -> None:
        for step in steps:
            if isinstance(step, Operation):
                result = step.result and self.processor.register(
                    self.pattern, self.number, step.result
                )
                at = self.processor.address(self.pattern, step.place)
                end = f"END{self.number}"
                self.lines += self.processor.operation(step, at, result or "", end, self.label())
                continue
            otherwise, after = self.label(), self.label()
            register = self.processor.register(self.pattern, self.number, step.register)
            self.lines += self.processor.branch(register, not step.equal, step.value, otherwise)
            self.block(step.then)
            if step.otherwise:
                self.lines.append(self.processor.jump(after))
            self.lines.append(f"{otherwise}:")
            self.block(step.otherwise)
            if step.otherwise:
                self.lines.append(f"{after}:")


def _as_mutex(op: Operation) -> tuple[bool, bool]:
    return op.kind in TAKES, op.kind in GIVES


class AArch64(Processor):
    """As compilers write it for ARMv8.3: one instruction for each step, and the weaker acquire."""

    title = "AArch64"
    architecture = "AArch64"
    model = "aarch64.cat"
    results = tuple(f"X{i}" for i in range(12))
    lost = "X13"
    load_acquire = "LDAPR"

    def address(self, pattern: Pattern, place: str) -> str:
        places = [*pattern.plain, *pattern.atomic, *pattern.mutexes]
        return f"X{places.index(place) + 16}"

    def branch(self, register: str, equal: bool, value: int, label: str) -> Iterator[str]:
        yield f"CMP {_w(register)},#{value}"
        yield f"B.{'EQ' if equal else 'NE'} {label}"

    def jump(self, label: str) -> str:
        return f"B {label}"

    def swap(self, op: Operation, at: str, result: str, end: str, value: int) -> Iterator[str]:
        yield f"MOV W14,#{value}"
        yield f"SWP{_suffix(op)} W14,{_w(result)},[{at}]"

    def compare_and_swap(
        self, op: Operation, at: str, result: str, end: str, label: str
    ) -> Iterator[str]:
        yield f"MOV {_w(result)},#{op.values[0]}"
        yield f"MOV W14,#{op.values[1]}"
        yield f"CAS{_suffix(op)} {_w(result)},W14,[{at}]"

    def add(self, op: Operation, at: str, end: str) -> Iterator[str]:
        yield f"MOV W14,#{op.values[0]}"
        yield f"LDADD{_suffix(op)} W14,W15,[{at}]"

    def operation(self, op: Operation, at: str, result: str, end: str, label: str) -> Iterator[str]:
        locks, unlocks = _as_mutex(op)
        if locks:
            yield f"{self.load_acquire if op.acquires else 'LDR'} {_w(self.lost)},[{at}]"
            yield f"CBNZ {_w(self.lost)},{end}"
        elif op.kind in {"write", "store", "poison"} or unlocks:
            value = 0 if unlocks else POISON if op.kind == "poison" else op.values[0]
            yield f"MOV W14,#{value}"
            yield f"{'STLR' if op.releases else 'STR'} W14,[{at}]"
        elif op.kind in {"read", "load"}:
            yield f"{self.load_acquire if op.acquires else 'LDR'} {_w(result)},[{at}]"
        elif op.kind == "exchange":
            yield from self.swap(op, at, result, end, op.values[0])
        elif op.kind == "cas":
            yield from self.compare_and_swap(op, at, result, end, label)
        elif op.kind == "add":
            yield from self.add(op, at, end)
        elif op.kind == "torn_cas":
            yield f"LDR {_w(result)},[{at}]"
            yield from self.branch(result, False, op.values[0], label)
            yield f"MOV W14,#{op.values[1]}"
            yield f"STR W14,[{at}]"
            yield f"{label}:"
        else:
            raise PatternError(op.name)


def _w(register: str) -> str:
    return "W" + register[1:]


def _suffix(op: Operation) -> str:
    return ("A" if op.acquires else "") + ("L" if op.releases else "")


class AArch64Exclusive(AArch64):
    """As compilers write it for ARMv8.0: exclusive loads and stores in a loop."""

    title = "AArch64 v8.0"
    load_acquire = "LDAR"

    def load(self, op: Operation) -> str:
        return "LDAXR" if op.acquires else "LDXR"

    def store(self, op: Operation) -> str:
        return "STLXR" if op.releases else "STXR"

    def finish(self, op: Operation, at: str, end: str) -> Iterator[str]:
        yield f"{self.store(op)} {_w(self.lost)},W14,[{at}]"
        yield f"CBNZ {_w(self.lost)},{end}"

    def swap(self, op: Operation, at: str, result: str, end: str, value: int) -> Iterator[str]:
        yield f"{self.load(op)} {_w(result)},[{at}]"
        yield f"MOV W14,#{value}"
        yield from self.finish(op, at, end)

    def compare_and_swap(
        self, op: Operation, at: str, result: str, end: str, label: str
    ) -> Iterator[str]:
        yield f"{self.load(op)} {_w(result)},[{at}]"
        yield from self.branch(result, False, op.values[0], label)
        yield f"MOV W14,#{op.values[1]}"
        yield from self.finish(op, at, end)
        yield f"{label}:"

    def add(self, op: Operation, at: str, end: str) -> Iterator[str]:
        yield f"{self.load(op)} W15,[{at}]"
        yield f"ADD W14,W15,#{op.values[0]}"
        yield from self.finish(op, at, end)


class RiscV(Processor):
    """As compilers write it: AMOs, lr/sc loops to compare and swap, fences at loads and stores."""

    title = "RISC-V"
    architecture = "RISCV"
    model = "riscv.cat"
    results = tuple(f"x{i}" for i in range(5, 17))
    lost = "x31"

    def address(self, pattern: Pattern, place: str) -> str:
        places = [*pattern.plain, *pattern.atomic, *pattern.mutexes]
        return f"x{places.index(place) + 17}"

    def branch(self, register: str, equal: bool, value: int, label: str) -> Iterator[str]:
        yield f"ori x30,x0,{value}"
        yield f"{'beq' if equal else 'bne'} {register},x30,{label}"

    def jump(self, label: str) -> str:
        return f"beq x0,x0,{label}"

    def operation(self, op: Operation, at: str, result: str, end: str, label: str) -> Iterator[str]:
        locks, unlocks = _as_mutex(op)
        acquire, release = ".aq" if op.acquires else "", ".rl" if op.releases else ""
        if locks:
            yield f"lw {self.lost},0({at})"
            if op.acquires:
                yield "fence r,rw"
            yield f"bne {self.lost},x0,{end}"
        elif op.kind in {"write", "store", "poison"} or unlocks:
            value = 0 if unlocks else POISON if op.kind == "poison" else op.values[0]
            yield f"ori x29,x0,{value}"
            if op.releases:
                yield "fence rw,w"
            yield f"sw x29,0({at})"
        elif op.kind in {"read", "load"}:
            yield f"lw {result},0({at})"
            if op.acquires:
                yield "fence r,rw"
        elif op.kind in {"exchange", "add"}:
            name = "amoswap" if op.kind == "exchange" else "amoadd"
            yield f"ori x29,x0,{op.values[0]}"
            yield f"{name}.w{acquire}{release} {result or 'x28'},x29,({at})"
        elif op.kind == "cas":
            yield f"lr.w{acquire} {result},0({at})"
            yield from self.branch(result, False, op.values[0], label)
            yield f"ori x29,x0,{op.values[1]}"
            yield f"sc.w{release} {self.lost},x29,0({at})"
            yield f"bne {self.lost},x0,{end}"
            yield f"{label}:"
        elif op.kind == "torn_cas":
            yield f"lw {result},0({at})"
            yield from self.branch(result, False, op.values[0], label)
            yield f"ori x29,x0,{op.values[1]}"
            yield f"sw x29,0({at})"
            yield f"{label}:"
        else:
            raise PatternError(op.name)


class X86(Processor):
    """As compilers write it: orderings bind only the compiler, which is C11's part."""

    title = "x86"
    architecture = "X86_64"
    model = "x86tso-mixed.cat"
    addresses_in_registers = False
    results = ("rbx", "rcx", "rdx", "rsi", "rdi", "r8", "r9", "r10", "r11", "r12", "r13")
    lost = "r15"

    def address(self, pattern: Pattern, place: str) -> str:
        return f"({place})"

    def branch(self, register: str, equal: bool, value: int, label: str) -> Iterator[str]:
        yield f"cmpl ${value},%{_e(register)}"
        yield f"{'je' if equal else 'jne'} {label}"

    def jump(self, label: str) -> str:
        return f"jmp {label}"

    def operation(self, op: Operation, at: str, result: str, end: str, label: str) -> Iterator[str]:
        locks, unlocks = _as_mutex(op)
        if locks:
            yield f"movl {at},%r15d"
            yield "cmpl $0,%r15d"
            yield f"jne {end}"
        elif op.kind in {"write", "store", "poison"} or unlocks:
            value = 0 if unlocks else POISON if op.kind == "poison" else op.values[0]
            yield f"movl ${value},{at}"
        elif op.kind in {"read", "load"}:
            yield f"movl {at},%{_e(result)}"
        elif op.kind == "exchange":
            yield f"movl ${op.values[0]},%{_e(result)}"
            yield f"xchgl %{_e(result)},{at}"
        elif op.kind == "add":
            yield f"lock addl ${op.values[0]},{at}"
        elif op.kind == "cas":
            yield f"movl ${op.values[0]},%eax"
            yield f"movl ${op.values[1]},%r14d"
            yield f"lock cmpxchgl {at},%r14d"  # herd7 names the memory first
            yield f"movl %eax,%{_e(result)}"
        elif op.kind == "torn_cas":
            yield f"movl {at},%{_e(result)}"
            yield from self.branch(result, False, op.values[0], label)
            yield f"movl ${op.values[1]},{at}"
            yield f"{label}:"
        else:
            raise PatternError(op.name)


def _e(register: str) -> str:
    """The lower half of a register."""
    return register + "d" if register[1].isdigit() else "e" + register[1:]


MACHINES: tuple[Machine, ...] = (C11(), AArch64(), AArch64Exclusive(), RiscV(), X86())
