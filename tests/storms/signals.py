"""A storm of signal handlers, while twelve threads and more use every primitive.

The handlers run in the main thread, which uses everything, too, so they come in the middle of its
waits. They take the locks that the main thread waits for or holds, wait and notify themselves,
raise, fork a child that uses everything, and drop the last reference to what is being waited for.
"""

from __future__ import annotations

import random
import signal
import threading
import time

from inherit import use_everything
from storm import Children, Storm
from throng import Interrupt, Throng, User

MOST_CHILDREN = 2


def meet(user: User) -> None:
    """With a limit: the interrupted call may hold a lock for which all wait who would come.

    Where a handler comes in the middle of the barrier's action, it may not wait there.
    """
    try:
        user.meet(0.0002, 0.005, 0.02)
    except RuntimeError as error:
        if "action" not in str(error):
            raise


class Handlers:
    """The main thread, and what its signal handlers do."""

    def __init__(self, storm: Storm):
        self.storm = storm
        self.throng = Throng(storm)
        self.user = self.throng.main
        # A handler has a user of its own, whose account of a lock is not the interrupted one.
        self.inner = User(self.throng.things, storm.rng())
        self.children = Children(storm)
        self.rng = storm.rng()
        self.armed = self.busy = False

    def handle(self, *_: object) -> None:
        # A signal that comes while a handler runs does nothing, so that handlers do not pile up.
        if self.busy:
            return
        self.busy = True
        self.storm.count("signals")
        armed, self.armed = self.armed, False
        # It may also do something, or take its time, and then raise. What comes to the interrupted
        # wait meanwhile, a notification above all, has to go to somebody else.
        raises = self.rng.random() < 0.3
        if not raises or self.rng.random() < 0.5:
            self.act()
        if raises and self.rng.random() < 0.5:
            time.sleep(self.rng.choice([0.00005, 0.0005]))
        self.busy = False
        if raises and armed:
            self.storm.count("raised")
            raise Interrupt
        self.armed = armed

    def act(self) -> None:
        things, user = self.throng.things, self.inner
        what = self.rng.randrange(100)
        if what < 4:
            if len(self.children.running) < MOST_CHILDREN:
                self.storm.count("forks")
                seed = self.rng.random()
                self.children.fork(
                    lambda: use_everything(self.storm.impl, things, random.Random(seed))
                )
        elif what < 20:
            if self.user.box:
                self.storm.count("dropped")
                self.user.box.clear()
        else:
            self.rng.choice(self.ACTS)(user)

    # Nothing here waits without a timeout for a lock that the interrupted call may hold.
    ACTS = (
        *(User.use_lock_briefly, User.enter_rlock, User.notify_and_wait, User.notify_and_wait),
        *(User.release_permits, User.take_permit, User.use_bounded, User.wait_for_event),
        *(User.pulse, meet, User.break_barrier, User.drop, User.use_slot),
    )

    def run(self) -> None:
        """The main thread."""
        storm, steps = self.storm, self.storm.main_steps
        while not storm.is_over():
            self.children.reap(MOST_CHILDREN)
            try:
                self.armed = True
                self.user.recover()
                self.user.rng.choice(User.ACTS)(self.user)
                self.armed = False
            except Interrupt:
                pass
            steps[0] += 1


def send(rng: random.Random, stop: threading.Event, steps: list[int]) -> None:
    ident = threading.main_thread().ident
    assert ident is not None
    while not stop.wait(rng.choice([0.0001, 0.0005, 0.002])):
        signal.pthread_kill(ident, signal.SIGUSR1)
        steps[0] += 1


def main() -> None:
    storm = Storm(__doc__)
    handlers = Handlers(storm)
    signal.signal(signal.SIGUSR1, handlers.handle)
    stop_signals = threading.Event()
    sender = storm.start("signals", send, storm.rng(), stop_signals)
    handlers.run()
    stop_signals.set()
    storm.join([sender])
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    handlers.children.reap()
    handlers.throng.end(handlers.inner)
    storm.end()


if __name__ == "__main__":
    main()
