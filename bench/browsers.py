"""`python -m bench.browsers`: click to first painted frame in Chromium, Firefox and WebKitGTK, on the shipped app.

Owns the comparison of the engines; `bench.first_frame` is the finer measurement, in Chromium alone. Marks are the
page's own: the click's time stamp and the first frame that `requestVideoFrameCallback` tells. Before that, frame 0 is
seen as a JPEG that lies over the video: `first_seen_frame_ms` is the earlier of the two, which matters where an engine
shows no lone first frame, as WebKit does. An engine that is not
installed is told under `missing`.
"""

from __future__ import annotations

import argparse
import contextlib
import logging
import sys
from typing import Any

from bench import report
from bench.drivers import DRIVERS, Driver
from bench.first_frame import DEFAULT_PROMPT, serve

KEYS = ("first_seen_frame_ms", "first_painted_frame_ms", "transport_ms")

_LOG = logging.getLogger(__name__)
_READ = """const { session, state } = wan.job;
const seen = Math.min(session.marks.poster ?? Infinity, session.marks.painted);
const { click, painted } = session.marks;
return { seen: seen - click, painted: painted - click, first_frame: state.first_frame_ms, state: state.state,
  frames: state.frames, fragments: session.fragments, stalls: session.stats.stalls,
  shown: session.stats.painted.size };"""


def press(driver: Driver, limit_s: float) -> dict[str, Any]:
    """Press the button, wait until the clip was made and played, and read the marks.

    Raises:
        RuntimeError: the job did not end well, or not all of it arrived.
    """
    before = driver.run("return wan.job.id")
    driver.click("#wan-generate")
    driver.wait("wan.job.id && wan.job.id !== arguments[0]", before, limit_s=limit_s)
    driver.wait("wan.job.session.complete && wan.job.session.swapped", limit_s=limit_s)
    read = driver.run(_READ)
    if read["state"] != "done" or read["fragments"] != read["frames"]:
        raise RuntimeError(f"{driver.name}: {read}")
    return {
        "first_seen_frame_ms": round(read["seen"], 1),
        "first_painted_frame_ms": round(read["painted"], 1),
        "transport_ms": round(read["painted"] - read["first_frame"], 1),
        "stalls": read["stalls"],
        "painted_frames": read["shown"],
        "num_frames": read["frames"],
    }


def measure(driver: Driver, url: str, args: argparse.Namespace) -> list[dict[str, Any]]:
    """One unmeasured click, so that browser and server are warm, then the measured ones."""
    driver.open(url)
    driver.wait("document.querySelector('.wan-ready[data-stage=ready]') && document.querySelector('#wan-generate')")
    driver.wait("wan.parts.values")  # wired: what is typed before is lost
    driver.fill("#wan-prompt textarea", args.prompt)
    driver.run("document.querySelector(\"#wan-seconds input[value='2']\").click()")
    press(driver, args.limit)
    return [press(driver, args.limit) for _ in range(args.runs)]


def main() -> None:
    """Parse the flags, measure, print the JSON object."""
    parser = argparse.ArgumentParser(prog="python -m bench.browsers", description="First painted frame, three engines.")
    parser.add_argument("--url", help="a server that runs already and is warm (default: start app.py)")
    parser.add_argument("--engines", nargs="+", choices=DRIVERS, default=list(DRIVERS))
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--prompt", default=DEFAULT_PROMPT)
    parser.add_argument("--limit", type=float, default=180.0, help="seconds that one clip may take")
    report.add_save(parser)
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    summary: dict[str, Any] = {}
    runs: list[dict[str, Any]] = []
    missing: dict[str, str] = {}
    with contextlib.nullcontext(args.url) if args.url else serve("auto", None) as url:
        for name in args.engines:
            try:
                with DRIVERS[name]() as driver:
                    made = measure(driver, url, args)
                    version = driver.version
            except FileNotFoundError as error:
                missing[name] = str(error)
                continue
            runs += [{"engine": name, **run} for run in made]
            summary[name] = {
                "version": version,
                **{key: report.median(run[key] for run in made) for key in KEYS},
                "stalls": sum(run["stalls"] for run in made),
                "painted_frames": report.median(run["painted_frames"] for run in made),
            }
            _LOG.info("%s: %s", name, summary[name])
    settings = {"prompt": args.prompt, "size": "768×432", "seconds": 2, "fps": 24}
    report.emit({"bench": "browsers", "engines": summary, "missing": missing, "settings": settings}, runs, args.save)


if __name__ == "__main__":
    main()
