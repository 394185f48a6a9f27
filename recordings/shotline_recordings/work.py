"""Long work: spread over processes, with a bar for those who wait."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeAlias, TypeVar

if TYPE_CHECKING:
    from rich.progress import TaskID

__all__ = ["Progress", "in_parallel", "progress_bars"]

Progress: TypeAlias = Callable[[str, int, int], None]
"""Called with what is being done, how much of it is done, and of how much."""

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


def in_parallel(work: Callable[[_Item], _Result], items: Sequence[_Item], *, jobs: int) -> Iterator[_Result]:
    """Yield the result of each item, in order, worked out by so many processes."""
    if jobs == 1 or len(items) < 2:
        yield from map(work, items)
        return
    from joblib import Parallel, delayed

    yield from Parallel(n_jobs=min(jobs, len(items)), return_as="generator")(delayed(work)(item) for item in items)


@contextmanager
def progress_bars(words: Mapping[str, str]) -> Iterator[Progress]:
    """Yield a function that draws a bar per kind of work, on standard error, when that is a terminal.

    Parameters
    ----------
    words : mapping
        What people read for each kind of work.
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bar

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Bar(*columns, console=console, disable=not sys.stderr.isatty(), auto_refresh=False) as bar:
        tasks: dict[str, TaskID] = {}

        def progress(what: str, done: int, whole: int) -> None:
            if what not in tasks:
                tasks[what] = bar.add_task(words.get(what, what), total=whole)
            bar.update(tasks[what], completed=done, total=whole, refresh=True)

        yield progress
