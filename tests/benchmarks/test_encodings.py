"""The comparison of file formats covers those that results have, and its files lose nothing."""

import io
import json
from pathlib import Path

import pytest
from PIL import Image

from benchmarks import encodings
from worker.output_format import PNG_COMPRESSION, WEBP_EFFORT, OutputFormat


def test_each_format_is_measured_and_loses_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(encodings, "SIZES", ((60, 40),))
    photo = Image.effect_noise((60, 40), 60).convert("RGB")
    photo.save(tmp_path / "photo.png")
    encodings.main([str(tmp_path / "photo.png"), "--repeats", "1"])
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["format"] for line in lines] == list(encodings.FORMATS)
    for kind, options in encodings.FORMATS.values():
        content = io.BytesIO()
        photo.save(content, kind, **options)
        assert Image.open(content).convert("RGB").tobytes() == photo.tobytes()


def test_the_formats_of_results_are_among_them() -> None:
    measured = list(encodings.FORMATS.values())
    assert ("PNG", OutputFormat("png")._options()) in measured
    assert ("WEBP", OutputFormat("webp")._options()) in measured
    assert (PNG_COMPRESSION, WEBP_EFFORT) == (3, 2)
