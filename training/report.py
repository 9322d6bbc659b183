"""What a run shows while it goes on: a progress bar, a CSV file, TensorBoard events."""

from __future__ import annotations

import contextlib
import csv
import io
import time
import warnings
from pathlib import Path
from types import TracebackType

from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from ..envs.files import replace_file
from .console import PlainConsole


class Report:
    """Progress on the terminal (a bar, or a line per validation where there is no terminal) and on disk.

    Args:
        out: folder for ``log.csv`` and TensorBoard events; ``None`` writes nothing.
        rows: rows of a resumed run, rewritten so that the log has no gap and no echo.
    """

    def __init__(self, out: Path | None, rows: list[dict[str, float]]) -> None:
        self.console = PlainConsole()
        self.prints = not self.console.is_terminal and not self.console.quiet
        self.bar = Progress(
            TextColumn("training"), BarColumn(24), TextColumn("{task.percentage:>3.0f}%"),
            TextColumn("{task.fields[text]}", markup=False),
            TimeElapsedColumn(), TextColumn("ETA"), TimeRemainingColumn(elapsed_when_finished=False),
            console=self.console, disable=self.console.quiet or not self.console.is_terminal,
        )  # fmt: skip
        self.task = self.bar.add_task("", total=1.0, text="")
        self.out, self.rows = out, list(rows)
        self.writer = None
        self.last = (time.monotonic(), 0)
        if out is not None:
            from torch.utils.tensorboard import SummaryWriter

            self.writer = SummaryWriter(str(out), purge_step=int(rows[-1]["iteration"]) + 1 if rows else 0)
            self._keep()

    def __enter__(self) -> Report:
        self.bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.bar.stop()
        if self.writer is not None:
            with contextlib.suppress(OSError):
                self.writer.close()

    def update(self, share: float, iteration: int, cost: float, error: float, residual: float) -> None:
        """Move the bar: ``share`` of the run done, mean cost, mean terminal error, largest argmax residual."""
        then, before = self.last
        rate = (iteration - before) / max(time.monotonic() - then, 1e-9)
        if iteration % 50 == 0:
            self.last = (time.monotonic(), iteration)
        text = f"iter {iteration}  cost {cost:.3f}  error {error:.3f}  residual {residual:.0e}  {rate:.1f} it/s"
        self.bar.update(self.task, completed=min(share, 1.0), text=text)

    def compiling(self) -> None:
        """Said before: for a minute there is nothing else to show."""
        self.said("compiling the training step (about a minute, once: it is kept on disk)")

    def said(self, text: str) -> None:
        """A line that stays where there is no bar; nothing if it is empty."""
        if text:
            self.bar.update(self.task, text=text)
            if self.prints:
                print(text, flush=True)

    def validated(self, row: dict[str, float], share: float) -> None:
        """Log a validation."""
        if self.prints:
            left = row["seconds"] * max(1 - share, 0.0) / max(share, 1e-9)
            print(
                f"iter {row['iteration']:6.0f}  cost {row['cost']:10.3f}  validation {row['validation_cost']:10.3f}  "
                f"terminal error {row['terminal_error']:.4f}  residual {row['residual']:.1e}  "
                f"{row['iteration'] / max(row['seconds'], 1e-9):5.1f} it/s  {row['seconds']:6.0f} s, {left:.0f} s left",
                flush=True,
            )
        try:
            self.rows.append(row)
            self._keep()
            if self.writer is not None:
                for name, value in row.items():
                    if name != "iteration":
                        self.writer.add_scalar(name, value, int(row["iteration"]))
        except OSError as error:  # the curve is in the checkpoint, too
            warnings.warn(f"the log cannot be written to {self.out} ({error.strerror})", stacklevel=2)

    def _keep(self) -> None:
        """``log.csv`` with every row so far: no half of one, whenever the run ends."""
        if self.out is None or not self.rows:
            return
        text = io.StringIO()
        writer = csv.DictWriter(text, list(self.rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(self.rows)
        replace_file(self.out / "log.csv", text.getvalue().encode())
