"""Lets a worker look into its queue at once, instead of at its next poll, when it hears that there is work.

A hint and no more: who rings may be wrong, and what is never rung for is found by the next poll all the same.
"""

from __future__ import annotations

import threading
import time


class Bell(threading.Event):
    """The stop event of a queue's thread, which waits on it between two looks; `ring` ends that wait early.

    Looks are at least `apart_s` seconds apart, so that a flood of rings does not become a flood of looks.
    """

    def __init__(self, apart_s: float) -> None:
        super().__init__()
        self._apart_s = apart_s
        self._rung = threading.Event()

    def ring(self) -> None:
        """There may be work. From any thread; never blocks."""
        self._rung.set()

    def set(self) -> None:
        """Stops the thread."""
        super().set()
        self._rung.set()

    def wait(self, timeout: float | None = None) -> bool:
        """Waits for the time of the next look; whether the thread is to stop instead."""
        began = time.monotonic()
        if self._rung.wait(timeout) and not self.is_set():
            super().wait(max(0.0, self._apart_s - (time.monotonic() - began)))
        self._rung.clear()
        if self.is_set():
            self._rung.set()  # whoever waits again must not wait long
        return self.is_set()
