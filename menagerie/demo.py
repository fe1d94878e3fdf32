"""Run the whole service once: ``python -m menagerie.demo --out out/demo``.

The demo starts `lipe up` on a free port and uses its REST API. It uploads references and a test image, learns the
subject and requests edits. It verifies the signed webhooks, downloads the results, and stops all processes that it
started.
The subject is one of the drawn benchmark, for which the sheet also shows the true results, or the user's own files.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from importlib import import_module
from pathlib import Path
from typing import Any

from PIL import Image
from tqdm import tqdm

from lipe_client import Client, Job, JobFailed, Problem, Progress, Result
from menagerie.memory import track_peak_memory
from menagerie.receiver import Receiver, run_receiver
from menagerie.scenario import Scenario, drawn_scenario, user_scenario
from menagerie.sheet import Cell, contact_sheet
from menagerie.subjects import TOKEN, benchmark

_DEFAULT_SUBJECT = 13  # index in the benchmark
_STOP_TIMEOUT = 120.0  # seconds


@contextmanager
def service(folder: Path) -> Iterator[dict[str, str]]:
    """Run `lipe up` while the block runs; yields its url and api_key."""
    # One worker, because the demo's jobs follow each other.
    options = ["--json", "--port", "0", "--workers", "one", "--data", str(folder)]
    command = [sys.executable, "-m", "cli.main", "up", *options]
    # A new session: Ctrl-C must reach the demo alone, which then lets the service stop its servers in order.
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True)  # noqa: S603
    try:
        import_module("menagerie.judge")  # torch takes seconds, in which the service starts
        line = process.stdout.readline()  # type: ignore[union-attr]
        if not line:
            raise SystemExit("the service did not start: see its output above")
        yield json.loads(line)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(_STOP_TIMEOUT)


def wait_with_progress(lipe: Client, job: Job, label: str) -> Job:
    """Wait for a job to end, with a progress bar for each of its stages."""
    bar: tqdm | None = None

    def show(progress: Progress) -> None:
        nonlocal bar
        if progress.stage is None or not progress.total:
            return
        if bar is None or bar.desc != f"{label}: {progress.stage}":
            if bar is not None:
                bar.close()
            bar = tqdm(total=progress.total, desc=f"{label}: {progress.stage}", unit="step")
        bar.total = progress.total
        bar.update((progress.step or 0) - bar.n)

    try:
        return lipe.wait(job, on_progress=show)
    finally:
        if bar is not None:
            bar.close()


def run_scenario(lipe: Client, receiver: Receiver, scenario: Scenario, out: Path) -> dict[str, Any]:
    """Run all client calls, from the first upload to the last download. Returns the content of result.json."""
    uploads = [
        lipe.upload_image(path) for path in tqdm((*scenario.references, scenario.test), desc="uploading", unit="file")
    ]
    subject = lipe.create_subject(
        name=scenario.name,
        class_noun=scenario.class_noun,
        references=uploads[:-1],
        token=TOKEN,
        consent=scenario.consent,
        not_a_person=scenario.drawn_test is not None,
    )
    training = wait_with_progress(lipe, lipe.train_prior(subject, webhook_url=receiver.url), "training")
    jobs = []
    for edit in scenario.edits:
        job = lipe.edit(
            subject=subject,
            image=uploads[-1],
            prompt=edit.prompt,
            seeds=[0],  # without a seed the service picks one, and each run of the demo would give other images
            webhook_url=receiver.url,
        )
        jobs.append(wait_with_progress(lipe, job, edit.label))
    events = receiver.wait_for({job.id for job in (training, *jobs)}, lipe.webhook_secret())
    results = [lipe.results(job)[0] for job in jobs]
    _sheet(lipe, scenario, results, out).save(out / "sheet.png")
    scores = score_edits(scenario, out)
    return {
        "subject": {"name": scenario.name, "class_noun": scenario.class_noun, "id": subject.id},
        "prior": _summary(training),
        "edits": [
            {"label": edit.label, "prompt": edit.prompt, "file": f"edit-{k}.png"} | _summary(job) | scores.get(k, {})
            for k, (edit, job) in enumerate(zip(scenario.edits, jobs, strict=True), start=1)
        ],
        "webhooks": [{"type": event["type"], "job_id": event["data"]["job_id"]} for event in events],
    }


def score_edits(scenario: Scenario, out: Path) -> dict[int, dict[str, Any]]:
    """The judge's `score` of each downloaded edit whose true result is known, by the number in its file's name.

    The service returns composited images only, so that both figures of the background are those of the composite.
    """
    if scenario.drawn_test is None:
        return {}
    from menagerie.judge import load_judge, score

    judge, scores = load_judge(), {}
    source_mask = Image.open(out / "source-mask.png").convert("L")
    for k, edit in enumerate(scenario.edits, start=1):
        if edit.drawn is not None:
            image = Image.open(out / f"edit-{k}.png").convert("RGB")
            verdict = score(
                judge, scenario.drawn_test, edit.drawn, image=image, uncomposited=image, source_mask=source_mask
            )
            scores[k] = {"score": asdict(verdict)}
    return scores


def _summary(job: Job) -> dict[str, Any]:
    return {"job_id": job.id, "status": job.status, "metrics": job.metrics, "resolved": job.resolved}


def _sheet(lipe: Client, scenario: Scenario, results: list[Result], out: Path) -> Image.Image:
    """Download all results and arrange them on one sheet."""
    edited = [lipe.download(result.image, out / f"edit-{k}.png") for k, result in enumerate(results, start=1)]
    masks = [Cell(Image.open(scenario.test), "test image")]
    if results[0].source_mask is not None:
        masks.append(Cell(Image.open(lipe.download(results[0].source_mask, out / "source-mask.png")), "source mask"))
    for k, (edit, result) in enumerate(zip(scenario.edits, results, strict=True), start=1):
        if result.edit_mask is not None:
            file = lipe.download(result.edit_mask, out / f"edit-mask-{k}.png")
            masks.append(Cell(Image.open(file), "edit mask", edit.label))
    rows = [
        ("references", [Cell(Image.open(p), f"reference {k}") for k, p in enumerate(scenario.references, start=1)]),
        ("test image and masks", masks),
        ("edits", [Cell(Image.open(p), e.label, e.prompt) for p, e in zip(edited, scenario.edits, strict=True)]),
    ]
    truths = [Cell(Image.open(e.truth), "true result", e.label) for e in scenario.edits if e.truth is not None]
    return contact_sheet(
        f"{scenario.name}: {TOKEN} {scenario.class_noun}", [*rows, *([("true results", truths)] * bool(truths))]
    )


def scenario_of(options: argparse.Namespace) -> Scenario:
    """The scenario of the command line. Raises SystemExit for options that do not fit together."""
    if options.refs or options.prompt:
        if not (options.subject and options.refs and options.prompt):
            raise SystemExit("for your own files give all of SUBJECT=, REFS= and PROMPT=")
        return user_scenario(options.subject, options.refs, options.prompt, consent=options.consent)
    drawn = {subject.name: subject for subject in benchmark()}
    name = options.subject or list(drawn)[_DEFAULT_SUBJECT]
    if name not in drawn:
        raise SystemExit(f"unknown benchmark subject {name!r}: choose from {', '.join(drawn)}")
    return drawn_scenario(drawn[name], options.out / "images")


def main(argv: list[str] | None = None) -> None:
    options = parse(argv)
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))  # so that all `finally` blocks run
    options.out.mkdir(parents=True, exist_ok=True)
    scenario = scenario_of(options)
    start = time.monotonic()
    print("starting the service ...", flush=True)
    with (
        track_peak_memory() as peak_mb,
        service(options.out / "data") as address,
        run_receiver() as receiver,
        Client(address["url"], address["api_key"]) as lipe,
    ):
        started = time.monotonic() - start
        try:
            result = run_scenario(lipe, receiver, scenario, options.out)
        except (Problem, JobFailed) as error:
            raise SystemExit(f"the service refused: {error}") from error
        result["peak_memory_sum_mb"] = round(peak_mb())
    result |= {"seconds": {"starting": round(started, 1), "all": round(time.monotonic() - start, 1)}}
    (options.out / "result.json").write_text(json.dumps(result, indent=2) + os.linesep)
    for edit in result["edits"]:
        if "score" in edit:
            print(f"{edit['label']}: {'clean' if edit['score']['clean'] else 'not clean'}")
    print(f"done in {result['seconds']['all']:.0f} s: {options.out / 'sheet.png'}, {options.out / 'result.json'}")


def parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m menagerie.demo", description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("out/demo"), help="output folder")
    parser.add_argument("--subject", help="name of a benchmark subject, or with --refs the class noun of yours")
    parser.add_argument("--refs", help="your files, as one or more globs: the references and, last, the test image")
    parser.add_argument("--prompt", help="the edit of your image; it must name the subject as 'sks NOUN'")
    parser.add_argument("--consent", default="", help="the name of the person in your files, who has agreed")
    return parser.parse_args(argv)


if __name__ == "__main__":
    main()
