"""The graphs of a checkpoint, exported one after the other or by several processes at once.

Exporting is Python on one core, and most of a first build; several at once make it as long as its longest graph. Owns
how many processes, and that they end with theirs. Does not know what a graph is, nor what is built from it.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import psutil

from engines.errors import EngineError

Export = Callable[[str, Path], None]
"""Write the graph of this name to this file; a function of a module, or a `functools.partial` of one."""
PROCESS_BYTES = 2 << 30
"""Of free memory for each process: three times what one takes for a model whose weights are small."""


def processes_for(count: int) -> int:
    """How many export `count` graphs at once here: a core and memory for each."""
    free = psutil.virtual_memory().available // PROCESS_BYTES
    return max(1, min(count, os.cpu_count() or 1, free))


def exported(names: Sequence[str], folder: Path, export: Export, processes: int) -> Iterator[tuple[str, Path]]:
    """Name and file of each graph when it is there: of several processes', whichever is ready first.

    Args:
        names: of the graphs in the order in which they are begun.
        folder: that files are put in. From one process each is there until the next is asked for, because those of a
            large model are larger than many a disk.

    Raises:
        EngineError: a process ended before its graph was there.
    """
    files = {name: folder / f"{name}.onnx" for name in names}
    if processes == 1:
        for name, file in files.items():
            export(name, file)
            yield name, file
            for part in folder.glob(f"{file.name}*"):
                part.unlink()
        return
    # Spawned: a copy of a process that has threads, as torch's has, may wait for ever.
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(processes, mp_context=context, initializer=_begin)
    try:
        graphs = {pool.submit(export, name, files[name]): name for name in names}
        for graph in as_completed(graphs):
            graph.result()
            yield graphs[graph], files[graphs[graph]]
    except BrokenProcessPool as error:
        raise EngineError(f"a process that exports {', '.join(names)} was ended: is memory short?") from error
    finally:
        pool.shutdown(cancel_futures=True)


def quieten() -> None:
    """Of operators that no graph here has, the exporter need not warn."""
    logging.getLogger("torch.onnx._internal.exporter._registration").setLevel(logging.ERROR)


def _begin() -> None:
    quieten()
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(3)  # killed without warning, it could not say so
