"""Write a repository's address where it is needed, or take it out again.

    python -m tools.configure OWNER/NAME     Colab buttons and setup cells point there
    python -m tools.configure none           back to the state of a plain checkout

`_config.yml` is the one source; the setup cells repeat the name, because on Colab a
notebook stands alone. The Colab buttons open the branch gh-pages, where the publishing
workflow puts the configured notebooks beside the site; edits go to --branch, or else
to the default branch of origin, as this clone knows it (tools/site/extension.py, which
adds what only a site with an address can have). With --domain the address is there.
"""

import argparse
import re
import subprocess
import sys
from pathlib import Path

import nbformat

from tools.book import ROOT

MARKER = "# Below this line: written by `make configure REPO=owner/name`.\n"
SETUP_LINE = re.compile(r'^REPOSITORY = "[^"]*"', re.MULTILINE)
# As GitHub allows them: of an owner, a repository, and of any domain and branch.
OWNER = r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}"
REPOSITORY = re.compile(rf"{OWNER}/(?!\.{{1,2}}$)(?!.*\.git$)[A-Za-z0-9._-]{{1,100}}")
DOMAIN = re.compile(r"([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z][a-z0-9-]*[a-z0-9]")
BRANCH = re.compile(r"(?![./-])(?!.*(//|\.\.|@\{))[A-Za-z0-9._/@+-]+(?<![./])")


def site_address(repository: str, domain: str = "") -> str:
    """Where GitHub Pages publishes this repository, with the slash at the end."""
    if domain:
        return f"https://{domain}/"
    owner, name = repository.lower().split("/")
    # A repository with the name of the site itself is published at its root.
    root = f"https://{owner}.github.io/"
    return root if root == f"https://{name}/" else f"{root}{repository.split('/')[1]}/"


def default_branch(root: Path) -> str:
    """The branch that origin's HEAD names, as far as this clone knows; else main."""
    command = ["git", "-C", root, "symbolic-ref", "refs/remotes/origin/HEAD"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True).stdout
    except OSError:  # no git here
        answer = ""
    branch = answer.strip().removeprefix("refs/remotes/origin/")
    return branch if BRANCH.fullmatch(branch) else "main"


def configured_block(repository: str, domain: str = "", branch: str = "main") -> str:
    """The end of _config.yml for this repository; empty for none."""
    if not repository:
        return ""
    return (
        f"  baseurl: {site_address(repository, domain)}\n"
        "  use_repository_button: true\n"
        "  use_edit_page_button: true\n"
        "  use_issues_button: true\n"
        "repository:\n"
        f"  url: https://github.com/{repository}\n"
        '  path_to_book: ""\n'
        "  branch: gh-pages\n"
        f'  edits: "{branch}"\n'
        "launch_buttons:\n"
        "  colab_url: https://colab.research.google.com\n"
    )


def configure(
    root: Path, repository: str, domain: str = "", branch: str = "main"
) -> None:
    """Point the configuration and every setup cell below root at this repository."""
    config = root / "_config.yml"
    head = config.read_text("utf-8").split(MARKER)[0]
    block = configured_block(repository, domain, branch)
    config.write_text(head + MARKER + block, "utf-8", newline="\n")
    for path in sorted((root / "notebooks").rglob("*.ipynb")):
        notebook = nbformat.read(path, as_version=4)
        for cell in notebook.cells:
            if "setup" in cell.metadata.get("tags", []):
                cell.source = SETUP_LINE.sub(
                    f'REPOSITORY = "{repository}"', cell.source
                )
        nbformat.write(notebook, path)


def fault(repository: str, domain: str, branch: str) -> str:
    """What is wrong with these words, in a line; nothing if they are right."""
    if repository != "none" and not REPOSITORY.fullmatch(repository):
        return f"expected REPO=owner/name (or none), got {repository!r}"
    if repository == "none" and domain:
        return f"expected no DOMAIN with REPO=none, got {domain!r}"
    if domain and not DOMAIN.fullmatch(domain):
        return f"expected DOMAIN such as book.example.org, got {domain!r}"
    if branch and not BRANCH.fullmatch(branch):
        return f"expected BRANCH, the name of a branch, got {branch!r}"
    return ""


def main() -> int:
    parser = argparse.ArgumentParser(description="Point the book at a repository.")
    parser.add_argument("repository", metavar="OWNER/NAME", help="or 'none'")
    parser.add_argument("--domain", default="", help="where the site is, if your own")
    parser.add_argument("--branch", default="", help="what the edit links open")
    given = parser.parse_args()
    given.domain = given.domain.lower()
    if wrong := fault(given.repository, given.domain, given.branch):
        print(f"configure: {wrong}", file=sys.stderr)
        return 2
    repository = "" if given.repository == "none" else given.repository
    configure(ROOT, repository, given.domain, given.branch or default_branch(ROOT))
    print(f"configured for {repository or 'no repository'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
