"""Pools of fresh processes that do not outlive whoever started them."""

from __future__ import annotations

import concurrent.futures
import multiprocessing
import os
import threading
from multiprocessing.connection import wait

import torch.multiprocessing


def spawn_pool(processes: int) -> concurrent.futures.ProcessPoolExecutor:
    """So many spawned processes; each ends when this one does, even if this one is killed and cannot tell them."""
    context = torch.multiprocessing.get_context("spawn")
    return concurrent.futures.ProcessPoolExecutor(processes, mp_context=context, initializer=end_with_parent)


def end_with_parent() -> None:
    """End this process as soon as its parent is gone: a thread waits for that."""
    parent = multiprocessing.parent_process()
    if parent is None:
        return

    def watch() -> None:
        wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
