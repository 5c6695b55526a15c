"""Where a campaign's work runs: processes of this host, or a Dask cluster. The results are the same to the bit."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor, as_completed
from typing import Any, TypeVar

from deploy.errors import DeployError

Task = TypeVar("Task")
Result = TypeVar("Result")


@contextlib.contextmanager
def pool(processes: int, dask: str | None) -> Generator[Executor]:
    """Give an executor; everything it started ends with it.

    Parameters
    ----------
    processes
        Processes of this host; 0: one per core.
    dask
        Address of a Dask scheduler, such as `tcp://127.0.0.1:8786`; None takes this host.

    Raises
    ------
    DeployError
        Where Dask is not installed, or nothing answers there.
    """
    if dask is None:
        spawn = multiprocessing.get_context("spawn")  # a fork would take threads of numba and HDF5 with it
        with ProcessPoolExecutor(processes or os.cpu_count() or 1, mp_context=spawn) as executor:
            yield executor
        return
    try:
        from distributed import Client  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise DeployError(
            "--dask needs the package distributed: .venv/bin/pip install -c constraints.txt -e '.[dask]'"
        ) from error
    try:
        client: Any = Client(dask, timeout="10s", set_as_default=False)
    except (OSError, ValueError) as error:
        raise DeployError(f"no Dask scheduler answers at {dask}: {error}") from error
    with client:
        yield client.get_executor(pure=False)


def run_all(
    executor: Executor,
    function: Callable[[Task], Result],
    tasks: Sequence[Task],
    done: Callable[[int, Result], None],
) -> dict[int, str]:
    """Run a function on every task; what fails does not stop the others.

    Parameters
    ----------
    done
        Called here, with the task's number and its result, as each ends.

    Returns
    -------
    dict
        Number of each task that failed -> its error in one line.
    """
    failed: dict[int, str] = {}
    futures = {executor.submit(function, task): number for number, task in enumerate(tasks)}
    for future in as_completed(futures):
        number = futures[future]
        try:
            result = future.result()
        except Exception as error:  # noqa: BLE001 - whatever a run ends with, on whatever host, the others go on
            failed[number] = str(error).splitlines()[0] if str(error) else type(error).__name__
        else:
            done(number, result)
    return failed
