"""A worker in the manner of Celery's:  devlaunch --debug-attach worker.py --rate 2.

It takes jobs from a queue until it is told to stop, and finishes the job at hand first: SIGTERM,
which devlaunch sends before each restart, is the usual way to ask a worker for a warm shutdown.
"""

import argparse
import itertools
import queue
import signal
import time

# A SimpleQueue may be put to from a signal handler at any moment (its put is reentrant).
stopping: "queue.SimpleQueue[int]" = queue.SimpleQueue()


def handle(job: int) -> str:
    return f"job {job}: {job**2}"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rate", type=float, default=1.0, help="jobs a second")
    rate = parser.parse_args().rate

    signal.signal(signal.SIGTERM, lambda signum, _frame: stopping.put(signum))
    print("worker: ready", flush=True)
    for job in itertools.count(1):
        print(f"{time.strftime('%H:%M:%S')} {handle(job)}", flush=True)
        try:
            stopping.get(timeout=1 / rate)
        except queue.Empty:
            continue
        print("worker: warm shutdown", flush=True)
        return


if __name__ == "__main__":
    main()
