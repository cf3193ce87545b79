"""A program that hangs: two requests wait for a cache that a third thread fills, and does not.

python -m pyfastlock --dump-signal=SIGUSR1 hung.py &
kill -USR1 $!                       says who waits for whom
python -m pyfastlock dump $!        asks without a signal; Python 3.14 or newer
kill $!
"""

import threading
import time

cache: dict[str, str] = {}
cache_lock = threading.RLock()
filling = threading.Event()
answered = threading.Semaphore(0)


def fill() -> None:
    with cache_lock:
        filling.set()
        time.sleep(3600)  # a server that does not answer
        cache["key"] = "value"


def answer() -> None:
    filling.wait()
    with cache_lock:
        print(cache["key"])
    answered.release()


threading.Thread(target=fill, name="fills", daemon=True).start()
for number in range(2):
    threading.Thread(target=answer, name=f"request {number}", daemon=True).start()
answered.acquire()
answered.acquire()
