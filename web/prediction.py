"""What a request will take on this machine: a formula, corrected by the runs that were made here.

Owns what is learnt (a small file beside the jobs) and the verdict, green, amber or red. The formula and its
coefficients, which are the prior before the first run, are `pipeline.memory`'s. Knows no job and no route.
"""

from __future__ import annotations

import dataclasses
import json
import logging
import os
import statistics
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import RequestError
from pipeline.request import VideoRequest

if TYPE_CHECKING:
    from pipeline.memory import Machine, Sizes
    from pipeline.spec import Spec

Level = Literal["green", "amber", "red"]

MAX_RUNS = 48
MAX_SETUPS = 8
TIGHT = 0.85
"""Share of the available memory from which on it is tight: other programs want some too."""
LONG_S, VERY_LONG_S = 120.0, 1800.0
_SETTINGS = ("width", "height", "seconds", "fps", "guidance_scale", "denoise_strength", "num_inference_steps")
_TRUST_IN_PRIOR = 0.3  # weight of the formula's own coefficient, where a time that depends on it alone weighs 1
_TRUST_IN_FIRST = 0.3  # likewise of the time to a first frame, in which any disturbance is large
_OUTLIER = 0.25  # relative error from which on a time counts less, the more the further it is off

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Run:
    """One clip that was made here, from its first step to its last encoded frame.

    Attributes:
        settings: the fields of the request that memory and time depend on.
        peak_bytes: as the memory chart counts; None where an earlier, larger run hides it.
    """

    settings: Mapping[str, Any]
    seconds: float
    first_frame_seconds: float
    peak_bytes: int | None


@dataclass(frozen=True, slots=True)
class Forecast:
    """What one clip of a request will take.

    Attributes:
        memory_bytes: predicted peak; available_bytes: what this process has and may still get.
        seconds, first_frame_seconds: from the first step to the last and the first encoded frame.
        level: red: does not fit, or takes very long; amber: tight, or takes long.
        reason: "memory" or "time" where the level is not green, else "".
        runs: clips made here that it was learnt from; 0: the formula alone, at the pace of the warm-up.
        fitted_on: the machine that the formula was measured on.
    """

    memory_bytes: int
    available_bytes: int
    seconds: float
    first_frame_seconds: float
    level: Level
    reason: Literal["", "memory", "time"]
    runs: int
    fitted_on: str


class Forecaster:
    """Predicts and learns for one model on one machine. Thread-safe.

    Args:
        file: of what was learnt; made at the first run, shared by all models of this app. None keeps nothing.
        spec, sizes: of the model.
        label: of the backend that it runs on.
        machine: asked at every forecast: what is free changes.
        own_bytes: what this process has already, on that machine.
    """

    def __init__(
        self,
        file: Path | None,
        spec: Spec,
        sizes: Sizes,
        label: str,
        *,
        machine: Callable[[], Machine],
        own_bytes: Callable[[], int],
    ) -> None:
        self._file, self._spec, self._sizes = file, spec, sizes
        self._machine, self._own_bytes = machine, own_bytes
        self._setup = f"{machine().name} × {os.cpu_count()} · {spec.name} · {label}"
        self._lock = threading.Lock()
        self._known = {} if file is None else _read(file)
        self._highest_bytes = 0
        self._calibration: Run | None = None
        self._pace = 1.0

    def calibrate(self, request: VideoRequest, peak_bytes: int, block: int, late_seconds: float) -> None:
        """Take note of the beginning of a clip; not kept.

        Args:
            peak_bytes: a whole clip takes no less.
            block: one of the beginning; late_seconds: from behind its first step to its last frame, which tells how
                fast this machine is before the first run. 0 where that is not known.
        """
        from pipeline import memory

        prior = memory.coefficients_of(self._machine())["seconds"]
        formula = memory.weighted_sum(prior, memory.late_terms(request, self._spec, self._sizes, block))
        with self._lock:
            self._calibration = Run(_settings(request), 0.0, 0.0, peak_bytes)
            self._highest_bytes = max(self._highest_bytes, peak_bytes)
            if late_seconds:
                self._pace = late_seconds / formula

    def forecast(self, request: VideoRequest) -> Forecast:
        """Predict one clip of the request.

        Raises:
            RequestError: see `pipeline.memory.predict`.
        """
        from pipeline import memory

        machine, own_bytes = self._machine(), self._own_bytes()
        available_bytes = machine.free_bytes + own_bytes
        prior = memory.predict(
            request, self._spec, self._sizes, dataclasses.replace(machine, free_bytes=available_bytes)
        )
        with self._lock:
            runs = list(self._known.get(self._setup, []))
        needed = prior.memory_bytes + self._learnt_bytes(runs, machine)
        whole, first = memory.time_terms(request, self._spec, self._sizes)
        coefficients = self._learnt_seconds(runs, machine)
        seconds, first_frame_seconds = (memory.weighted_sum(coefficients, terms) for terms in (whole, first))
        level, reason = judge(needed, available_bytes, seconds * request.batch_size)
        return Forecast(
            memory_bytes=needed,
            available_bytes=available_bytes,
            seconds=round(seconds, 3),
            first_frame_seconds=round(first_frame_seconds, 3),
            level=level,
            reason=reason,
            runs=len(runs),
            fitted_on=prior.fitted_on,
        )

    def learn(self, request: VideoRequest, seconds: float, first_frame_seconds: float, peak_bytes: int) -> None:
        """Take note of a clip that was made; what cannot be kept on disk is kept in memory and told to the log."""
        with self._lock:
            # Memory is seldom given back to the system: only a new height is surely this clip's own.
            is_own = peak_bytes > self._highest_bytes
            self._highest_bytes = max(self._highest_bytes, peak_bytes)
            run = Run(
                _settings(request), round(seconds, 4), round(first_frame_seconds, 4), peak_bytes if is_own else None
            )
            runs = self._known.pop(self._setup, [])
            self._known[self._setup] = [*runs, run][-MAX_RUNS:]
            for setup in list(self._known)[:-MAX_SETUPS]:
                del self._known[setup]
            if self._file is None:
                return
            try:
                _write(self._file, self._known)
            except OSError:
                _LOG.exception("what was learnt of this run could not be kept")

    def _learnt_bytes(self, runs: list[Run], machine: Machine) -> int:
        """How much more than the formula says the runs took: this app itself, its libraries, another precision."""
        from pipeline import memory

        def beyond(run: Run) -> float:
            formula = memory.predict(_request(run), self._spec, self._sizes, machine).memory_bytes
            return (run.peak_bytes or 0) - formula

        of_runs = [beyond(run) for run in runs if run.peak_bytes is not None]
        if self._calibration is not None:
            of_runs.append(max(0, beyond(self._calibration)))
        return round(statistics.median(of_runs)) if of_runs else 0

    def _learnt_seconds(self, runs: list[Run], machine: Machine) -> dict[str, float]:
        """The coefficients of time, moved from the formula's as far as the runs call for it."""
        from pipeline import memory

        prior = memory.coefficients_of(machine)["seconds"]
        names = list(prior)
        if not runs:
            return {name: self._pace * value for name, value in prior.items()}
        rows: list[list[float]] = []
        measured: list[float] = []
        trust: list[float] = []
        for run in runs:
            whole, first = memory.time_terms(_request(run), self._spec, self._sizes)
            for terms, seconds, weight in (
                (whole, run.seconds, 1.0),
                (first, run.first_frame_seconds, _TRUST_IN_FIRST),
            ):
                rows.append([prior[name] * terms[name] for name in names])
                measured.append(seconds)
                trust.append(weight)
        factors = fit_factors(np.array(rows), np.array(measured), np.array(trust))
        return {name: prior[name] * float(factor) for name, factor in zip(names, factors, strict=True)}


def judge(needed_bytes: int, available_bytes: int, seconds: float) -> tuple[Level, Literal["", "memory", "time"]]:
    """The verdict and what it is about; memory is told first."""
    if needed_bytes > available_bytes:
        return "red", "memory"
    if seconds > VERY_LONG_S:
        return "red", "time"
    if needed_bytes > TIGHT * available_bytes:
        return "amber", "memory"
    if seconds > LONG_S:
        return "amber", "time"
    return "green", ""


def fit_factors(
    terms: NDArray[np.float64], measured: NDArray[np.float64], trust: NDArray[np.float64]
) -> NDArray[np.float64]:
    """By how much each term's share of the prior is to be multiplied.

    One factor for the whole machine first, then ridge regression towards it on relative errors, with runs that stand
    alone (another program was at work) counting little.

    Args:
        terms: [n, m], the prior's share of each term in each time.
        measured: [n], the times; trust: [n], how much each counts, at most 1.

    Returns:
        [m], never negative.
    """
    scale = float(np.median((measured / terms.sum(axis=1))[trust == trust.max()]))
    a = scale * terms / measured[:, None]
    num_terms = terms.shape[1]
    weights = trust
    factors = np.ones(num_terms)
    for _ in range(4):
        left = np.vstack([a * weights[:, None], _TRUST_IN_PRIOR**0.5 * np.eye(num_terms)])
        right = np.concatenate([weights, np.full(num_terms, _TRUST_IN_PRIOR**0.5)])
        factors = np.maximum(np.linalg.lstsq(left, right)[0], 0.0)
        errors = np.abs(a @ factors - 1.0)
        weights = trust * np.sqrt(np.minimum(1.0, _OUTLIER / np.maximum(errors, 1e-9)))
    return scale * factors


def _settings(request: VideoRequest) -> dict[str, Any]:
    return {name: getattr(request, name) for name in _SETTINGS}


def _request(run: Run) -> VideoRequest:
    return VideoRequest.from_mapping({"prompt": "-", **run.settings})


def _read(file: Path) -> dict[str, list[Run]]:
    """What is on disk; nothing where the file is of another make, because runs can be made again."""
    try:
        kept = json.loads(file.read_text(encoding="utf-8"))
        known = {setup: [Run(**run) for run in runs] for setup, runs in kept.items()}
        for runs in known.values():
            for run in runs:
                _request(run)
                _ = run.seconds + run.first_frame_seconds + (run.peak_bytes or 0)
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, TypeError, AttributeError, RequestError) as error:
        _LOG.warning("%s cannot be used (%s): learning begins anew", file.name, error)
        return {}
    return known


def _write(file: Path, known: Mapping[str, list[Run]]) -> None:
    draft = file.with_suffix(".part")
    kept = {setup: [dataclasses.asdict(run) for run in runs] for setup, runs in known.items()}
    draft.write_text(json.dumps(kept, ensure_ascii=False), encoding="utf-8")
    os.replace(draft, file)
