"""The whole service at work: ``python -m menagerie.demo --out out/demo``.

Starts `lipe up` on a free port and is its REST client: uploads references and a test picture, learns the subject, asks
for edits, receives the signed webhooks and verifies them, downloads the results and stops all it started. The subject
is one of the drawn benchmark, whose true pictures stand beside the edits, or the user's own files.
"""

import argparse
import glob
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image
from tqdm import tqdm

from client import Client, Job, JobFailed, Problem, Progress, Result
from menagerie.attributes import EXPRESSIONS, HEADS, Drawing, poses, with_action
from menagerie.captions import edit_prompt
from menagerie.draw import render
from menagerie.memory import peak_of_the_tree
from menagerie.receiver import Receiver, receiving
from menagerie.sheet import Cell, contact_sheet
from menagerie.subjects import TOKEN, DrawnSubject, benchmark

_SHOWN = 2  # of the benchmark's subjects
_PATIENCE = 120.0  # seconds for the service to stop


@dataclass(frozen=True)
class Wish:
    """One edit: a label for the sheet, the prompt, and the true picture where it is known."""

    label: str
    prompt: str
    truth: Path | None = None


@dataclass(frozen=True)
class Story:
    """What the demo tells: who is learnt from what, and what is changed in which picture."""

    name: str
    class_noun: str
    references: tuple[Path, ...]
    test: Path
    wishes: tuple[Wish, ...]
    consent: bool = False


def drawn_story(drawn: DrawnSubject, folder: Path) -> Story:
    """A benchmark subject, drawn into files; a pose, a head direction with an expression, and all three at once."""
    folder.mkdir(parents=True, exist_ok=True)

    def draw(drawing: Drawing, name: str) -> Path:
        Image.fromarray(render(drawing)).save(folder / f"{name}.png")
        return folder / f"{name}.png"

    action, noun = drawn.test.action, drawn.identity.class_noun
    pose = _other(poses(noun), action.pose)
    head, expression = _other(HEADS, action.head), _other(EXPRESSIONS, action.expression)
    changes = {
        f"pose: {pose}": {"pose": pose},
        f"head: {head}, {expression}": {"head": head, "expression": expression},
        f"{pose}, {head}, {expression}": {"pose": pose, "head": head, "expression": expression},
    }
    truths = {label: with_action(drawn.test, **change) for label, change in changes.items()}
    return Story(
        name=drawn.name,
        class_noun=noun,
        references=tuple(draw(drawing, f"reference-{k}") for k, drawing in enumerate(drawn.references, start=1)),
        test=draw(drawn.test, "test"),
        wishes=tuple(
            Wish(label, edit_prompt(truth, TOKEN), draw(truth, f"truth-{k}"))
            for k, (label, truth) in enumerate(truths.items(), start=1)
        ),
    )


def users_story(class_noun: str, pattern: str, prompt: str, *, consent: bool) -> Story:
    """The user's own files: the last one is the picture to edit, the others are the references."""
    files = [Path(name) for word in pattern.split() for name in sorted(glob.glob(word))]
    if not 4 <= len(files) <= 6:
        raise SystemExit(f"REFS={pattern!r} names {len(files)} files: 3 to 5 references and, last, the test picture")
    return Story("mine", class_noun, tuple(files[:-1]), files[-1], (Wish("as asked", prompt),), consent=consent)


def _other(values: Sequence[str], now: str) -> str:
    """The value after this one."""
    return values[(values.index(now) + 1) % len(values)]


@contextmanager
def service(folder: Path) -> Iterator[dict[str, str]]:
    """A `lipe up` of our own; yields its url and api_key, and stops it at the end."""
    command = [sys.executable, "-m", "cli.main", "up", "--json", "--port", "0", "--data", str(folder)]
    # A session of its own: Ctrl-C reaches us alone, and we let it stop its servers in order.
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True)  # noqa: S603
    try:
        line = process.stdout.readline()  # type: ignore[union-attr]
        if not line:
            raise SystemExit("the service did not start; what it said is above")
        yield json.loads(line)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(_PATIENCE)


def follow(lipe: Client, job: Job, what: str) -> Job:
    """Wait for a job under a progress bar for each of its stages."""
    bar: tqdm | None = None

    def show(progress: Progress) -> None:
        nonlocal bar
        if progress.stage is None or not progress.total:
            return
        if bar is None or bar.desc != f"{what}: {progress.stage}":
            if bar is not None:
                bar.close()
            bar = tqdm(total=progress.total, desc=f"{what}: {progress.stage}", unit="step")
        bar.total = progress.total
        bar.update((progress.step or 0) - bar.n)

    try:
        return lipe.wait(job, on_progress=show)
    finally:
        if bar is not None:
            bar.close()


def tell(lipe: Client, receiver: Receiver, story: Story, out: Path) -> dict[str, Any]:
    """Everything a client does, from the first upload to the last download; returns what goes into result.json."""
    uploads = [lipe.upload_image(path) for path in tqdm((*story.references, story.test), desc="uploading", unit="file")]
    subject = lipe.create_subject(
        name=story.name,
        class_noun=story.class_noun,
        references=uploads[:-1],
        token=TOKEN,
        consent=story.consent,
    )
    learning = follow(lipe, lipe.train_prior(subject, webhook_url=receiver.url), "learning")
    jobs = []
    for wish in story.wishes:
        asked = lipe.edit(
            subject=subject,
            image=uploads[-1],
            prompt=wish.prompt,
            seeds=[0],  # the service would draw one, and each run show other pictures
            webhook_url=receiver.url,
        )
        jobs.append(follow(lipe, asked, wish.label))
    events = receiver.expect({job.id for job in (learning, *jobs)}, lipe.webhook_secret())
    results = [lipe.results(job)[0] for job in jobs]
    _sheet(lipe, story, results, out).save(out / "sheet.png")
    return {
        "subject": {"name": story.name, "class_noun": story.class_noun, "id": subject.id},
        "prior": _summary(learning),
        "edits": [
            {"label": wish.label, "prompt": wish.prompt, "file": f"edit-{k}.png"} | _summary(job)
            for k, (wish, job) in enumerate(zip(story.wishes, jobs, strict=True), start=1)
        ],
        "webhooks": [{"type": event["type"], "job_id": event["data"]["job_id"]} for event in events],
    }


def _summary(job: Job) -> dict[str, Any]:
    return {"job_id": job.id, "status": job.status, "metrics": job.metrics, "resolved": job.resolved}


def _sheet(lipe: Client, story: Story, results: list[Result], out: Path) -> Image.Image:
    """Download everything, and lay it out."""
    edited = [lipe.download(result.image, out / f"edit-{k}.png") for k, result in enumerate(results, start=1)]
    masks = [Cell(Image.open(story.test), "test picture")]
    if results[0].source_mask is not None:
        masks.append(Cell(Image.open(lipe.download(results[0].source_mask, out / "source-mask.png")), "source mask"))
    for k, (wish, result) in enumerate(zip(story.wishes, results, strict=True), start=1):
        if result.edit_mask is not None:
            file = lipe.download(result.edit_mask, out / f"edit-mask-{k}.png")
            masks.append(Cell(Image.open(file), "edit mask", wish.label))
    rows = [
        ("references", [Cell(Image.open(p), f"reference {k}") for k, p in enumerate(story.references, start=1)]),
        ("test picture and masks", masks),
        ("edits", [Cell(Image.open(p), w.label, w.prompt) for p, w in zip(edited, story.wishes, strict=True)]),
    ]
    truths = [Cell(Image.open(w.truth), "truth", w.label) for w in story.wishes if w.truth is not None]
    return contact_sheet(
        f"{story.name}: {TOKEN} {story.class_noun}", [*rows, *([("true pictures", truths)] * bool(truths))]
    )


def main(argv: list[str] | None = None) -> None:
    options = parse(argv)
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))  # what was started is stopped, too
    options.out.mkdir(parents=True, exist_ok=True)
    if options.refs or options.prompt:
        if not (options.subject and options.refs and options.prompt):
            raise SystemExit("for your own files give all of SUBJECT=, REFS= and PROMPT=")
        story = users_story(options.subject, options.refs, options.prompt, consent=options.consent)
    else:
        drawn = {subject.name: subject for subject in benchmark()}
        name = options.subject or list(drawn)[_SHOWN]
        if name not in drawn:
            raise SystemExit(f"there is no benchmark subject {name!r}: choose from {', '.join(drawn)}")
        story = drawn_story(drawn[name], options.out / "pictures")
    start = time.monotonic()
    print("starting the service ...", flush=True)
    with (
        peak_of_the_tree() as peak_mb,
        service(options.out / "data") as there,
        receiving() as receiver,
        Client(there["url"], there["api_key"]) as lipe,
    ):
        started = time.monotonic() - start
        try:
            result = tell(lipe, receiver, story, options.out)
        except (Problem, JobFailed) as error:
            raise SystemExit(f"the service refused: {error}") from error
        result["peak_memory_sum_mb"] = round(peak_mb())
    result |= {"seconds": {"starting": round(started, 1), "all": round(time.monotonic() - start, 1)}}
    (options.out / "result.json").write_text(json.dumps(result, indent=2) + os.linesep)
    print(f"done in {result['seconds']['all']:.0f} s: {options.out / 'sheet.png'}, {options.out / 'result.json'}")


def parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m menagerie.demo", description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("out/demo"))
    parser.add_argument("--subject", help="a benchmark subject's name, or with --refs your subject's class noun")
    parser.add_argument("--refs", help="your files, a glob or several: references, and last the test picture")
    parser.add_argument("--prompt", help="your edit, naming your subject as 'sks NOUN'")
    parser.add_argument("--consent", action="store_true", help="the person in your files agreed")
    return parser.parse_args(argv)


if __name__ == "__main__":
    main()
