"""A slow program: workers write what they have done, and the time is lost at one lock.

python slow.py                                 takes a second, and does not say why
python -m pyfastlock --contention slow.py      says which lock, which line, and who holds it
"""

import threading
import time

jobs_lock = threading.Lock()
log_lock = threading.Lock()
jobs = list(range(60))


def take_job() -> int | None:
    with jobs_lock:
        return jobs.pop() if jobs else None


def write(line: str) -> None:
    with log_lock:
        time.sleep(0.01)  # a slow disk, with the lock held


def work() -> None:
    while (job := take_job()) is not None:
        write(f"job {job}")


workers = [threading.Thread(target=work) for _ in range(4)]
for worker in workers:
    worker.start()
for worker in workers:
    worker.join()
