"""Measure SDXL's true size on one GPU in nine minutes: ``python -m benchmarks.h200``.

Weights are random and made on the device. Sections run in the order of their value, and each line is written at once,
so that a run that is cut off has reported what it measured. `--small` runs everything on a CPU.
"""

import argparse
import gc
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from benchmarks import h200_parts as parts
from benchmarks.h200_parts import Bench
from benchmarks.sdxl_size import Scale

SECTIONS: dict[str, Callable[[Bench], None]] = {
    "ceilings": parts.ceilings,
    "gradient": parts.gradient,
    "eager": parts.eager,
    "graphs": parts.graphs,
    "compiled": parts.compiled,
    "edits": parts.edits,
    "weights": parts.weights,
    "fp8": parts.fp8,
}


def main(argv: list[str] | None = None) -> None:
    options = parse(argv)
    start, section = time.monotonic(), ""

    def say(what: str, **facts: Any) -> None:
        line = json.dumps({"section": section, "at": round(time.monotonic() - start, 1), "what": what, **facts})
        print(line, flush=True)
        if options.out:
            with options.out.open("a") as file:
                file.write(line + "\n")

    device = torch.device("cuda" if torch.cuda.is_available() and not options.small else "cpu")
    bench = Bench(Scale(1, 64, 128) if options.small else Scale(), device, say)
    for section in options.sections:
        if time.monotonic() - start > options.seconds:
            say("skipped: out of time")
            continue
        try:
            SECTIONS[section](bench)
        except parts.Stop as stop:
            say(f"stopped: {stop}")
            break
        except Exception as error:  # the other sections can still be measured
            if options.small:
                raise
            say("failed", error=repr(error)[:500])
        gc.collect()
        if device.type == "cuda":
            torch.cuda.empty_cache()


def parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.h200", description=__doc__)
    parser.add_argument("sections", nargs="*", default=list(SECTIONS), help=f"of {', '.join(SECTIONS)}; default: all")
    parser.add_argument("--small", action="store_true", help="a small network on the CPU")
    parser.add_argument("--seconds", type=float, default=450.0, help="no section starts later than this")
    parser.add_argument("--out", type=Path, help="file to which the lines are also appended")
    options = parser.parse_args(argv)
    if unknown := [name for name in options.sections if name not in SECTIONS]:
        parser.error(f"unknown section {unknown[0]!r}: choose from {', '.join(SECTIONS)}")
    return options


if __name__ == "__main__":
    main()
