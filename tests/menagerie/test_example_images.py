"""The example images of the first steps."""

from pathlib import Path

import pytest

from menagerie.example_images import main


def test_it_writes_references_and_a_source_image(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["--out", str(tmp_path)])
    assert {file.name for file in tmp_path.iterdir()} == {"source.png", *(f"reference-{n}.png" for n in range(1, 5))}
    assert "4 references of a bear" in capsys.readouterr().out
