"""The report on the SDXL miniature: figures, a file with them, and a sheet."""

import json
from pathlib import Path

import pytest
from PIL import Image

from menagerie import report
from menagerie.attributes import ATTRIBUTES


def test_a_report_of_few_captions(tmp_path: Path) -> None:
    files = {"json": tmp_path / "figures" / "report.json", "sheet": tmp_path / "sheets" / "report.png"}
    options = [word for name, file in files.items() for word in (f"--{name}", str(file))]
    found = report.main(["--captions", "2", "--steps", "2", *options])
    assert found.vae_psnr > report.VAE_TARGET
    assert 0 <= found.clean <= min(found.agreement.values())
    assert found.agreement.keys() <= set(ATTRIBUTES)
    assert json.loads(files["json"].read_text())["vae_psnr"] == found.vae_psnr
    with Image.open(files["sheet"]) as sheet:
        assert sheet.width > 2 * 128


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="none does not exist"):
        report.main(["--checkpoint", str(tmp_path / "none")])
