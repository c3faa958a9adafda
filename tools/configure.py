"""Write a repository's address where it is needed, or take it out again.

    python tools/configure.py OWNER/NAME     Colab buttons and setup cells point there
    python tools/configure.py none           back to the state of a plain checkout

`_config.yml` is the one source; the setup cells repeat the name, because on Colab a
notebook stands alone. The Colab buttons open the branch gh-pages, where the publishing
workflow puts the configured notebooks beside the site; edits go to the branch main
(tools/site_extension.py, which adds what only a site with an address can have).
"""

import argparse
import re
import sys
from pathlib import Path

import nbformat

ROOT = Path(__file__).resolve().parent.parent
MARKER = "# Below this line: written by `make configure REPO=owner/name`.\n"
SETUP_LINE = re.compile(r'^REPOSITORY = "[^"]*"', re.MULTILINE)


def site_address(repository: str) -> str:
    """Where GitHub Pages publishes this repository, with the slash at the end."""
    owner, name = repository.lower().split("/")
    # A repository with the name of the site itself is published at its root.
    root = f"https://{owner}.github.io/"
    return root if root == f"https://{name}/" else f"{root}{repository.split('/')[1]}/"


def configured_block(repository: str) -> str:
    """The end of _config.yml for this repository; empty for none."""
    if not repository:
        return ""
    return (
        f"  baseurl: {site_address(repository)}\n"
        "  use_repository_button: true\n"
        "  use_edit_page_button: true\n"
        "  use_issues_button: true\n"
        "repository:\n"
        f"  url: https://github.com/{repository}\n"
        '  path_to_book: ""\n'
        "  branch: gh-pages\n"
        "launch_buttons:\n"
        "  colab_url: https://colab.research.google.com\n"
    )


def configure(root: Path, repository: str) -> None:
    """Point the configuration and every setup cell below root at this repository."""
    config = root / "_config.yml"
    head = config.read_text("utf-8").split(MARKER)[0]
    config.write_text(head + MARKER + configured_block(repository), "utf-8")
    for path in sorted((root / "notebooks").rglob("*.ipynb")):
        notebook = nbformat.read(path, as_version=4)
        for cell in notebook.cells:
            if "setup" in cell.metadata.get("tags", []):
                cell.source = SETUP_LINE.sub(
                    f'REPOSITORY = "{repository}"', cell.source
                )
        nbformat.write(notebook, path)


def main() -> None:
    parser = argparse.ArgumentParser(description="Point the book at a repository.")
    parser.add_argument("repository", metavar="OWNER/NAME", help="or 'none'")
    repository = parser.parse_args().repository
    if repository == "none":
        repository = ""
    elif not re.fullmatch(r"[\w.-]+/[\w.-]+", repository):
        parser.error(f"expected OWNER/NAME or none, got {repository!r}")
    configure(ROOT, repository)
    print(f"configured for {repository or 'no repository'}")


if __name__ == "__main__":
    sys.exit(main())
