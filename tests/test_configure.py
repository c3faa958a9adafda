"""configure takes what GitHub allows, and a publish keeps what is the repository's."""

import os
import subprocess
import sys

import pytest
import yaml

from tools import configure as configure_tool
from tools.book import ROOT

WORKFLOWS = ROOT / ".github" / "workflows"
NO_REPOSITORIES = (
    *("", "a", "a/b/c", "a/", "/b", "a/b/", "a/b.git", "a/.", "a/..", "../..", "./."),
    *("ü/ß", "a/ü", "a b/c", "a/b c", " a/b", "a/b\n", "-a/b", "--help", "-h", "None"),
    *(
        "https://github.com/a/b",
        "git@github.com:a/b",
        "a/b#c",
        "a/b;c",
        'a/"b"',
        "$x/b",
    ),
)


@pytest.fixture
def configure(monkeypatch, capsys, tmp_path):
    """Run the program on a copy of the configuration: exit code, both outputs."""
    (tmp_path / "_config.yml").write_bytes((ROOT / "_config.yml").read_bytes())
    monkeypatch.setattr(configure_tool, "ROOT", tmp_path)

    def call(*words):
        monkeypatch.setattr(sys, "argv", ["configure.py", *words])
        code = configure_tool.main()
        return code, *capsys.readouterr()

    def settings():
        return yaml.safe_load((tmp_path / "_config.yml").read_text("utf-8"))

    call.folder, call.settings = tmp_path, settings
    return call


@pytest.mark.parametrize("repository", NO_REPOSITORIES)
def test_what_is_no_repository_is_refused_in_a_line(configure, repository):
    before = (configure.folder / "_config.yml").read_bytes()
    code, out, err = configure("--", repository)
    assert (code, out) == (2, "")
    assert err.count("\n") == 1 and f"owner/name (or none), got {repository!r}" in err
    assert (configure.folder / "_config.yml").read_bytes() == before


@pytest.mark.parametrize(
    "option",
    [
        *(
            "--domain=" + word
            for word in ("x", "https://a.de", "a.de/", "ü.de", "a b.de")
        ),
        *("--domain=" + word for word in ("-a.de", "a..de", "1.2.3.4", "a.de\nb")),
        *(
            "--branch=" + word
            for word in ("-x", "a b", "a..b", "/a", "a/", "ü", '"', "a\n")
        ),
    ],
)
def test_what_is_no_domain_or_branch_is_refused_in_a_line(configure, option):
    code, out, err = configure(option, "--", "a/b")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert repr(option.partition("=")[2]) in err


@pytest.mark.parametrize("repository", ["a/b", "A-b/c.d_e", "x_y/.github", "a/git"])
def test_repositories_are_taken(configure, repository):
    assert configure("--", repository)[0] == 0
    url = configure.settings()["repository"]["url"]
    assert url == f"https://github.com/{repository}"


def test_a_domain_is_the_address_of_the_site(configure):
    assert configure("--domain=Book.example.org", "--", "someone/fork")[0] == 0
    assert configure.settings()["html"]["baseurl"] == "https://book.example.org/"
    assert configure("--domain=", "--", "someone/fork")[0] == 0
    address = "https://someone.github.io/fork/"
    assert configure.settings()["html"]["baseurl"] == address
    assert configure("--domain=a.de", "--", "none")[0] == 2


def test_edits_go_to_the_branch_that_is_given_or_is_origins_default(configure):
    def edits(*words):
        assert configure(*words, "--", "a/b")[0] == 0
        return configure.settings()["repository"]["edits"]

    git = ["git", "-C", configure.folder]
    assert edits() == "main"
    subprocess.run([*git, "init", "--quiet"], check=True)
    head = "refs/remotes/origin/"
    subprocess.run([*git, "symbolic-ref", f"{head}HEAD", f"{head}on/edge"], check=True)
    assert edits() == "on/edge"
    assert edits("--branch=trunk") == "trunk"


def workflow(name):
    return yaml.safe_load((WORKFLOWS / name).read_text("utf-8"))


def push(folder, remote, files):
    """Run the step that publishes, word for word, with a folder for GitHub."""
    site = folder / "site"
    site.mkdir()
    for name, content in files.items():
        (site / name).write_text(content)
    (step,) = (
        step
        for step in workflow("publish.yml")["jobs"]["publish"]["steps"]
        if step.get("name") == "Push the site"
    )
    instead = f"url.{remote}.insteadOf", "https://x-access-token:t@github.com/a/b.git"
    variables = {"TOKEN": "t", "GITHUB_REPOSITORY": "a/b", "GITHUB_SHA": "0"}
    variables |= {"GIT_CONFIG_COUNT": "1", "HOME": str(folder)}
    variables |= {"GIT_CONFIG_KEY_0": instead[0], "GIT_CONFIG_VALUE_0": instead[1]}
    subprocess.run(
        ["bash", "-e", "-o", "pipefail", "-c", step["run"]],
        cwd=folder,
        env=os.environ | variables,
        check=True,
        capture_output=True,
    )
    git = ["git", "-C", remote]
    listed = [*git, "ls-tree", "--name-only", "gh-pages"]
    names = subprocess.run(listed, capture_output=True, text=True, check=True).stdout
    count = [*git, "rev-list", "--count", "gh-pages"]
    number = subprocess.run(count, capture_output=True, text=True, check=True).stdout
    return {
        name: subprocess.run(
            [*git, "show", f"gh-pages:{name}"], capture_output=True, text=True
        ).stdout
        for name in names.split()
    }, int(number)


@pytest.mark.skipif(sys.platform == "win32", reason="it runs on Linux")
def test_a_publish_keeps_the_domain_and_nothing_else(tmp_path):
    remote = tmp_path / "remote.git"
    subprocess.run(["git", "init", "--quiet", "--bare", remote], check=True)
    for number, domain in enumerate(["", "book.example.org\n", ""]):
        folder = tmp_path / str(number)
        folder.mkdir()
        pushed = {"index.html": str(number)} | ({"CNAME": domain} if domain else {})
        if domain:  # as GitHub does when the domain is set
            clone = folder / "clone"
            git = ["git", "-c", "user.name=a", "-c", "user.email=a@b.c"]
            branch = ["clone", "--quiet", "--branch", "gh-pages", remote, clone]
            subprocess.run(["git", *branch], check=True)
            (clone / "CNAME").write_text(domain)
            (clone / "old.html").touch()
            subprocess.run([*git, "add", "--all"], cwd=clone, check=True)
            subprocess.run(
                [*git, "commit", "--quiet", "-m", "x"], cwd=clone, check=True
            )
            subprocess.run([*git, "push", "--quiet"], cwd=clone, check=True)
            del pushed["CNAME"]
        expected = pushed | {".nojekyll": ""}
        if number:
            expected["CNAME"] = "book.example.org\n"
        assert push(folder, remote, pushed) == (expected, 1)


def test_a_job_with_a_token_that_writes_runs_nothing_that_was_installed():
    for path in WORKFLOWS.glob("*.yml"):
        for job in workflow(path.name)["jobs"].values():
            assert job["permissions"] in ({"contents": "read"}, {"contents": "write"})
            if job["permissions"] == {"contents": "write"}:
                used = [step.get("uses", "").partition("@")[0] for step in job["steps"]]
                assert used == ["actions/download-artifact", ""], path
                run = job["steps"][-1]["run"]
                assert not {"make", "pip", "python"} & set(run.split()), path


def test_no_workflow_knows_the_name_of_the_default_branch():
    for path in WORKFLOWS.glob("*.yml"):
        triggers = workflow(path.name)[True]  # YAML reads `on` as a truth value
        assert "branches" not in (triggers.get("push") or {}), path
        if "push" not in triggers:
            continue
        first = [
            job for job in workflow(path.name)["jobs"].values() if "needs" not in job
        ]
        assert all(
            "default_branch" in job["if"] or "schedule" in job["if"] for job in first
        )
