"""Write the generated pages: ``python -m docs.generate``, and with ``--site FOLDER`` all sources of the site.

The pages in PAGES are in the repository, and a test compares them with the code. The pages of the API's groups are
written for the site only, because docs/openapi.json has the same content.
"""

import argparse
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

from docs.generate import api_pages, chart_settings, commands_page, parameters_page, problems_page, settings_page

DOCS = Path(__file__).parents[1]
PAGES: Mapping[str, Callable[[], str]] = {
    "api.md": api_pages.render,
    "commands.md": commands_page.render,
    "parameters.md": parameters_page.render,
    "problems.md": problems_page.render,
    "settings.md": settings_page.render,
    "../deploy/helm/lipe/values.schema.json": chart_settings.render,
}
SITE_FILES = ("*.md", "*.png", "*.svg", "*.css", "decisions/*.md")


def write_pages() -> None:
    """Write the generated pages of the repository."""
    for name, render in PAGES.items():
        (DOCS / name).write_text(render())


def write_site(folder: Path) -> None:
    """Write the sources of the site to a folder, which is replaced: all pages and their images."""
    shutil.rmtree(folder, ignore_errors=True)
    for pattern in SITE_FILES:
        for file in DOCS.glob(pattern):
            copy = folder / file.relative_to(DOCS)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, copy)
    for name, text in api_pages.render_groups().items():
        (folder / name).write_text(text)


def main(argv: list[str] | None = None) -> None:
    """Write the pages, and the sources of the site if a folder is given."""
    parser = argparse.ArgumentParser(prog="python -m docs.generate", description=__doc__)
    parser.add_argument("--site", type=Path, help="also write all sources of the site to this folder")
    options = parser.parse_args(argv)
    write_pages()
    if options.site:
        write_site(options.site)


if __name__ == "__main__":
    main()
