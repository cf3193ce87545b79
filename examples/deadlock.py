"""Two threads that wait for each other: a handler of `logging` wants a lock of the program.

python deadlock.py                  hangs
python -m pyfastlock deadlock.py    says why, and goes on
"""

import logging
import threading
import time

balance = {"alice": 100}
balance_lock = threading.RLock()


class ShowBalance(logging.Handler):
    """Shows the balance with each message.  `logging` calls it with the handler's own lock held."""

    def emit(self, record: logging.LogRecord) -> None:
        with balance_lock:
            record.balance = dict(balance)


log = logging.getLogger("bank")
log.setLevel(logging.INFO)
log.addHandler(ShowBalance())


def transfer() -> None:
    for _ in range(20):
        with balance_lock:
            balance["alice"] -= 1
            time.sleep(0.005)
            log.info("a transfer")  # waits for the handler's lock


def tell() -> None:
    for _ in range(20):
        log.info("still there")  # waits for the balance's lock, inside the handler
        time.sleep(0.001)


threads = [
    threading.Thread(target=transfer, name="transfers"),
    threading.Thread(target=tell, name="messages"),
]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print("the end")
