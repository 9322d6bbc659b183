"""The time that a run may take: a bar of what has gone, what is being done, and lines that stay."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator

from rich.progress import BarColumn, Progress, Task, TextColumn, TimeElapsedColumn
from rich.progress_bar import ProgressBar

from ..controllers.optimum import heard
from .console import PlainConsole
from .duration import spoken


class TimeBar(BarColumn):
    """The share of a budget of seconds that has gone."""

    def __init__(self, budget: float) -> None:
        super().__init__()
        self.budget = budget

    def render(self, task: Task) -> ProgressBar:
        return ProgressBar(total=self.budget, completed=min(task.elapsed or 0.0, self.budget), width=40)


class Stages:
    """The stages of a run that may take ``budget`` seconds, told on the terminal; the clock starts at once."""

    def __init__(self, budget: float) -> None:
        self.budget, self.begin, self.console = budget, time.perf_counter(), PlainConsole()
        columns = (TextColumn("{task.description}"), TimeBar(budget), TimeElapsedColumn())
        self.bar = Progress(*columns, TextColumn(f"of {spoken(budget)}"), console=self.console, transient=True)

    @property
    def gone(self) -> float:
        """Seconds."""
        return time.perf_counter() - self.begin

    @property
    def left(self) -> float:
        """Seconds."""
        return self.budget - self.gone

    @contextlib.contextmanager
    def shown(self, first: str) -> Iterator[None]:
        """The bar, while the ``first`` stage and those after it go on."""
        with self.bar, heard(lambda told: self.bar.update(self.task, description=f"{self.name}: {told}")):
            self.name = first
            self.task = self.bar.add_task(first, total=None)
            yield

    def stage(self, name: str) -> None:
        """What the bar says."""
        self.name = name
        self.bar.update(self.task, description=name)

    def said(self, what: str) -> None:
        """A line that stays."""
        self.console.print(f"{self.gone:6.0f} s  {what}", highlight=False)
