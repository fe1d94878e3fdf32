"""The blocks of code in the documents: each is run here, or a comment before it says why no test can run it."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.documents import DOCUMENTS, NEEDS, ROOT, blocks_of
from tests.support.documents_service import DocumentedService, documented_service
from tests.support.tiny_checkpoint import write_checkpoint

README = ROOT / "README.md"
RUN = [document for document in DOCUMENTS if document != README and any(block.is_run for block in blocks_of(document))]
LANGUAGES = {"sh", "python", "text", "json", "http", "toml", "yaml", "typescript"}
"""Languages of blocks. Of these, tests run `sh` and `python`: `bash` or no language would hide a command from them."""


def name(document: Path) -> str:
    return document.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("document", DOCUMENTS, ids=name)
def test_blocks_have_a_known_language_and_known_marks(document: Path) -> None:
    for block in blocks_of(document):
        assert block.language in LANGUAGES, f"line {block.line}: write one of {LANGUAGES}"
        assert block.needs <= NEEDS, f"line {block.line}: write needs of {NEEDS}"
    marks = re.findall("^<!-- needs:", document.read_text(), re.MULTILINE)
    assert len(marks) == sum(bool(block.needs) for block in blocks_of(document)), "a mark stands before its block"


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DocumentedService]:
    """A running service, and a working folder in which the README's blocks were run."""
    folder = tmp_path_factory.mktemp("documents")
    write_checkpoint(folder / "model", text_length=77)  # CLIP's, as its tokenizer spells most words of the documents
    with documented_service(folder / "model", folder) as started:
        started.run(README)
        yield started


def test_the_readme_edits_an_image(service: DocumentedService) -> None:
    assert {file.name for file in (service.folder / "example").iterdir()} >= {"source.png", "edit-1.png", "edit-2.png"}


@pytest.mark.parametrize("document", RUN, ids=name)
def test_the_blocks_of_a_page_run(document: Path, service: DocumentedService) -> None:
    service.run(document)
