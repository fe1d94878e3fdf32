"""The verdicts of a run, kept beside its edits, so that no edit is judged twice by one model."""

import json
import os
import re

from cli.kit.runs import Run
from cli.kit.subjects import PhotoSubject, open_photo
from cli.kit.vision_judge import Verdict, judge
from lipe_core.captioning.chat import ChatEndpoint


def verdicts(run: Run, subject: PhotoSubject, endpoint: ChatEndpoint | None) -> list[Verdict | None]:
    """The model's verdict on each edit, or None for each without an endpoint. Raises NoVerdict."""
    if endpoint is None:
        return [None] * len(run.prompts)
    file = run.folder / f"verdicts-{re.sub(r'[^A-Za-z0-9.-]', '_', endpoint.model)}.json"
    if not file.exists():
        source, references = open_photo(subject.test), [open_photo(path) for path in subject.references]
        made = [
            judge(endpoint, prompt, source, references, run.image("image", k)) for k, prompt in enumerate(run.prompts)
        ]
        unfinished = file.with_name(f"{file.name}.part")
        unfinished.write_text(json.dumps([vars(verdict) for verdict in made]))
        os.replace(unfinished, file)
    return [Verdict(**answers) for answers in json.loads(file.read_text())]
