"""Shows that something happens."""

import sys
import time


class Progress:
    """Shows on stderr that something happens: one line that changes, or one every few seconds."""

    EVERY_S = 5.0

    def __init__(self, total: int) -> None:
        self._total = total
        self._done = 0
        self._start = self._shown = time.monotonic()
        self._live = sys.stderr.isatty()

    def step(self, text: str) -> None:
        """One more of the total is done; *text* says which."""
        self._done += 1
        now = time.monotonic()
        if not self._live and now - self._shown < self.EVERY_S and self._done < self._total:
            return
        self._shown = now
        line = f"[{self._done:3}/{self._total}] {now - self._start:3.0f} s  {text}"
        print(f"\r{line:<78}\033[K" if self._live else line, end="", file=sys.stderr)
        print("" if self._live else "\n", end="", file=sys.stderr, flush=True)

    def finish(self) -> float:
        """End the line; returns the seconds that all of it took."""
        if self._live:
            print(file=sys.stderr)
        return time.monotonic() - self._start
