"""Download base models into /models, once: a folder exists only when it is complete."""

import json
import os
import shutil
from pathlib import Path

from huggingface_hub import snapshot_download

ROOT = Path(os.environ.get("MODELS_DIR", "/models"))
for model in json.loads(os.environ["MODELS"]):
    folder, unfinished = ROOT / model["name"], ROOT / f".{model['name']}.unfinished"
    if folder.exists():
        print(f"{folder} exists: it is kept")
        continue
    print(f"{folder}: downloading {model['repository']}", flush=True)
    snapshot_download(
        model["repository"], revision=model["revision"], local_dir=unfinished, ignore_patterns=model.get("ignore", [])
    )
    shutil.rmtree(unfinished / ".cache", ignore_errors=True)
    unfinished.rename(folder)
    print(f"{folder} is complete")
