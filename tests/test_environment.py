"""make says in a line what is wrong with the environment, or mends it."""

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import pytest
import yaml

from tools import resolve
from tools.book import ROOT

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="no make there")

# A Python that says it has this version, makes environments, and whose pip only notes
# that it was called; what else it is asked, a real Python answers.
FAKE = """#!/bin/sh
real={real}
version={version}
case "$*" in
  "-m venv "*) mkdir -p "$3/bin" && cp "$0" "$3/bin/python" && {venv} ;;
  "-m pip "*) echo pip >>pip.log; {pip} ;;
  *version_info*) {starts} && echo $version ;;
  "-m tools.alone") exec "$real" "$@" ;;
  "-m tools."*) printf "%s|" "$@" >asked ;;
  *) exec "$real" "$@" ;;
esac
"""


class Project:
    """A folder with what the environment needs, and Pythons of any kind on its path."""

    def __init__(self, folder: Path, programs: Path):
        self.folder, self.programs = folder, programs
        (folder / "tools").mkdir(parents=True)
        for name in ("environment.sh", "alone.py", "__init__.py"):
            shutil.copy(ROOT / "tools" / name, folder / "tools")
        shutil.copy(ROOT / "Makefile", folder)
        for name in ("requirements.txt", "constraints.txt", "pyproject.toml"):
            (folder / name).touch()
        programs.mkdir()
        for name in ("sh", "make", "cat", "cmp", "cp", "head", "mkdir", "mv", "rm"):
            (programs / name).symlink_to(shutil.which(name))
        for name in ("seq", "uname", "touch", "sleep", "printf", "echo"):
            (programs / name).symlink_to(shutil.which(name))

    def python(self, version, name="python3", lacks="", venv="true", **answers):
        """Put a Python of this version on the path."""
        answers = {"pip": "true", "starts": "true"} | answers
        if lacks:  # the probe for this module fails
            answers["starts"] = f'case "$*" in *{lacks}*) false ;; *) true ;; esac'
        path = self.programs / name
        path.write_text(
            FAKE.format(
                real=shlex.quote(sys.executable), version=version, venv=venv, **answers
            )
        )
        path.chmod(0o755)
        return path

    def run(self, *words, **variables):
        environment = {"PATH": str(self.programs), "HOME": str(self.folder)}
        return subprocess.Popen(
            ["make", *words],
            cwd=self.folder,
            env=environment | variables,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def make(self, *words, **variables):
        """make environment: its exit code, what it printed, and its complaints."""
        run = self.run("environment", *words, **variables)
        out, err = run.communicate(timeout=60)
        lines = [line for line in err.splitlines() if "***" not in line]
        return run.returncode, out, "\n".join(lines)

    def refuses(self, *parts, words=()):
        """One line, before anything is installed."""
        calls = self.pip_calls
        code, _, err = self.make(*words)
        assert code == 2 and err.startswith("make: ") and "\n" not in err, err
        assert all(part in err for part in parts), err
        assert self.pip_calls == calls

    @property
    def pip_calls(self) -> int:
        log = self.folder / "pip.log"
        return len(log.read_text().split()) if log.exists() else 0


@pytest.fixture
def project(tmp_path):
    return Project(tmp_path / "ü 'q' \"b\" $x" / "book", tmp_path / "programs")


def test_environment_is_made_once_and_follows_the_requirements(project):
    project.python("3.11.0")
    assert project.make()[0] == 0 and project.pip_calls == 1
    assert project.make()[0] == 0 and project.pip_calls == 1
    (project.folder / "constraints.txt").write_text("pins\n")
    assert project.make()[0] == 0 and project.pip_calls == 2


@pytest.mark.parametrize("version", ["2.7.18", "3.6.9", "3.9.18", "3.10.14", "3.15.0"])
def test_a_python_out_of_range_is_refused_with_the_range_and_what_to_do(
    project, version
):
    project.python(version)
    project.refuses("Python 3.11 to 3.14", version, "PYTHON=python3.12")
    project.python("3.13.1", "python3.13")
    project.refuses("Python 3.11 to 3.14", version, "add PYTHON=python3.13")
    assert not (project.folder / ".venv").exists()
    assert project.make("PYTHON=python3.13")[0] == 0


def test_a_python_that_is_missing_or_cannot_make_environments_is_named(project):
    project.refuses("got no python3", "PYTHON=python3.12")
    project.python("3.12.3", starts="false")
    project.refuses("got a python3 that does not start")
    project.python("3.12.3", lacks="ensurepip")
    project.refuses("python3.12-venv", "apt install")
    assert not (project.folder / ".venv").exists()


def test_platforms_without_packages_are_named(project):
    project.python("3.12.3")
    for machine in ("i686", "ppc64le"):
        (project.programs / "uname").unlink()
        (project.programs / "uname").write_text(f"#!/bin/sh\necho {machine}\n")
        (project.programs / "uname").chmod(0o755)
        project.refuses("x86_64", "Apple silicon", machine)


def remove_python(project):
    (project.folder / ".venv/bin/python").unlink()


def dangle(project):
    remove_python(project)
    (project.folder / ".venv/bin/python").symlink_to("/nowhere/python3")


def without_pip(project):
    text = project.python("3.12.3", "other", lacks="pip").read_text()
    (project.folder / ".venv/bin/python").write_text(text)


def old_python(project):
    path = project.folder / ".venv/bin/python"
    path.write_text(path.read_text().replace("version=3.12.3", "version=3.10.1"))


def move(project):
    folder = project.folder.with_name("moved")
    project.folder.rename(folder)
    project.folder = folder


def unfinished(project):
    (project.folder / ".venv/.installed").unlink()


FAULTS = {
    remove_python: "has no Python that starts",
    dangle: "has no Python that starts",
    without_pip: "has no pip",
    old_python: "has Python 3.10.1",
    move: "was moved from",
    unfinished: "is not finished",
}


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_an_environment_of_no_use_is_made_anew_if_make_made_it(project, fault):
    project.python("3.12.3")
    assert project.make()[0] == 0
    fault(project)
    project.python("3.9.1")  # no Python to make it anew with: it stays
    project.refuses("Python 3.11 to 3.14")
    assert (project.folder / ".venv/.made-by-make").exists()
    project.python("3.12.3")
    code, out, err = project.make()
    assert code == 0 and not err and FAULTS[fault] in out and "made anew" in out
    assert project.make()[1] == ""


@pytest.mark.parametrize("venv", [".venv", "my own $venv"])
@pytest.mark.parametrize(
    "fault",
    [remove_python, dangle, without_pip, old_python],
    ids=lambda fault: fault.__name__,
)
def test_an_environment_of_the_users_is_never_removed(project, fault, venv):
    python = project.python("3.12.3")
    subprocess.run([python, "-m", "venv", ".venv"], cwd=project.folder, check=True)
    fault(project)
    (project.folder / ".venv/mine").touch()
    (project.folder / ".venv").rename(project.folder / venv)
    words = [] if venv == ".venv" else [f"VENV={venv}"]
    project.refuses(f"{venv} {FAULTS[fault]}", "remove it", words=words)
    assert (project.folder / venv / "mine").exists()


def test_an_environment_of_the_users_is_used_if_it_works(project):
    python = project.python("3.12.3")
    subprocess.run([python, "-m", "venv", ".venv"], cwd=project.folder, check=True)
    (project.folder / ".venv/mine").touch()
    assert project.make()[0] == 0 and project.pip_calls == 1
    assert project.make()[0] == 0 and project.pip_calls == 1
    move(project)
    project.refuses(".venv was moved from", "remove it")
    assert (project.folder / ".venv/mine").exists()


def test_another_python_than_asked_for_is_said(project):
    project.python("3.12.3")
    project.python("3.13.0", "python3.13")
    assert project.make()[0] == 0
    project.refuses("3.13.0", "has 3.12.3", "VENV=", words=["PYTHON=python3.13"])
    assert project.make("PYTHON=python3.13", "VENV=other")[0] == 0
    project.python("3.12.9", "python3.12")
    assert project.make("PYTHON=python3.12")[0] == 0


def test_an_installation_that_fails_or_is_killed_does_not_stay_stuck(project):
    project.python("3.12.3", pip="false")
    code, _, err = project.make()
    assert code == 2 and "not installed" in err
    project.python("3.12.3", venv="sleep 60")
    for point in ("venv", "pip"):
        run = project.run("environment")
        while not (project.folder / ".venv/bin/python").exists():
            time.sleep(0.02)
        if point == "pip":
            while project.pip_calls < 2:
                time.sleep(0.02)
        os.killpg(run.pid, signal.SIGKILL)
        run.communicate()
        project.python("3.12.3", pip="sleep 60")
    project.python("3.12.3")
    code, out, err = project.make()
    assert code == 0 and "is not finished: it is made anew" in out


def test_an_upgrade_that_fails_leaves_the_environment(project):
    python = project.python("3.12.3")
    assert project.make()[0] == 0
    (project.folder / "constraints.txt").write_text("pins\n")
    inner = project.folder / ".venv/bin/python"
    inner.write_text(project.python("3.12.3", "other", pip="false").read_text())
    (project.folder / ".venv/mine").touch()
    assert project.make()[0] == 2
    inner.write_text(python.read_text())
    code, out, _ = project.make()
    assert code == 0 and not out and (project.folder / ".venv/mine").exists()


def test_two_makes_at_once_install_once(project):
    project.python("3.12.3", pip="sleep 1")
    runs = [project.run("-j4", "environment") for _ in range(3)]
    said = [run.communicate(timeout=60) for run in runs]
    assert [run.returncode for run in runs] == [0, 0, 0], said
    assert project.pip_calls == 1
    assert sum("waiting" in out for out, _ in said) == 2


@pytest.mark.parametrize(
    ("target", "name"),
    [
        *(("configure", name) for name in ("REPO", "DOMAIN", "BRANCH")),
        *(("grade", name) for name in ("COURSE", "ASSIGNMENT")),
        *(("student", "CHAPTERS"), ("environment", "PYTHON")),
        *(("chapter", name) for name in ("N", "SLUG", "TITLE", "PART")),
    ],
)
def test_what_is_typed_is_read_by_neither_make_nor_shell(project, target, name):
    project.python("3.12.3")
    assert project.make()[0] == 0
    for words in (
        "$(shell touch hit)",
        "$$(touch hit)",
        "`touch hit`",
        '";touch hit;"',
    ):
        project.run(target, f"{name}={words}").communicate(timeout=60)
        assert not (project.folder / "hit").exists()
        if name not in ("CHAPTERS", "PYTHON"):
            assert words in (project.folder / "asked").read_text()


def test_other_pythons_variables_do_not_reach_the_programs(project):
    project.python("3.12.3")
    nowhere = {"PYTHONHOME": "/nowhere", "PYTHONPATH": "/nowhere", "PIP_USER": "1"}
    assert project.make(**nowhere)[0] == 0
    with (project.folder / "Makefile").open("a") as makefile:
        makefile.write("shown:\n\t@echo $$PYTHONHOME\n")
    assert project.run("shown", **nowhere).communicate()[0] == "\n"


def test_a_folder_that_cannot_be_written_is_named(project):
    project.python("3.12.3")
    script = "exec sh tools/environment.sh"
    command = ["sh", "-c", script]
    if os.geteuid() == 0:  # root may write anywhere but on a disk that is read-only
        mount = 'mount --bind . . && mount -o remount,bind,ro . && cd "$PWD"'
        command = ["unshare", "--mount", "sh", "-c", f"{mount} && {script}"]
    project.folder.chmod(0o555)
    run = subprocess.run(
        command,
        cwd=project.folder,
        env=os.environ | {"VENV": ".venv"},
        capture_output=True,
        text=True,
    )
    project.folder.chmod(0o755)
    if run.returncode == 1 and "unshare" in run.stderr:
        pytest.skip("needs the right to have namespaces of its own")
    assert run.returncode == 2
    assert run.stderr == (
        f"make: expected a folder that can be written, got {project.folder}/.\n"
    )


def test_tests_run_after_what_they_test_whatever_the_number_of_jobs():
    plan = subprocess.run(
        ["make", "-n", "-j4", "test"], cwd=ROOT, capture_output=True, text=True
    )
    assert plan.returncode == 0, plan.stderr
    steps = [
        "tools/environment.sh",
        "tools.site.browser",
        "ruff check",
        'not book and not long"',
        "--nbval",
        "jupyter-book build",
        '"(book or long) and not timed"',
        '"(book or long) and timed"',
    ]
    places = [plan.stdout.index(step) for step in steps]
    assert places == sorted(places)
    assert ".NOTPARALLEL:" in (ROOT / "Makefile").read_text("utf-8")


def test_the_range_of_pythons_is_the_same_everywhere():
    pythons = [version.removesuffix(".0") for version in resolve.pythons()]
    oldest, newest = pythons[0], pythons[-1]
    said = re.compile(r"Python (3\.\d+) (?:to|or|and) (3\.\d+|\w+)|Python (3\.\d+)\+")
    pages = ["README.md", "book/index.md", "book/instructors.md"]
    for name in [*pages, "tools/course/instructors.template.md"]:
        found = said.findall((ROOT / name).read_text("utf-8"))
        assert found == [(oldest, newest, "")], name
    contributing = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
    assert f"{oldest} to {newest}" in contributing
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert project["requires-python"] == f">={oldest}"
    classes = [
        line.removeprefix("Programming Language :: Python :: ")
        for line in project["classifiers"]
    ]
    assert classes == pythons


def test_workflows_test_the_oldest_and_newest_python_on_every_system():
    pythons = [version.removesuffix(".0") for version in resolve.pythons()]
    folder = ROOT / ".github" / "workflows"
    matrix = yaml.safe_load((folder / "ci.yml").read_text("utf-8"))["jobs"]["unit"]
    matrix = matrix["strategy"]["matrix"]
    assert matrix["python"] == [pythons[0], pythons[-1]]
    systems = {system.partition("-")[0] for system in matrix["os"]}
    assert systems == {"ubuntu", "macos", "windows"}
    for path in folder.glob("*.yml"):
        for version in re.findall(r'python-version: "(.*)"', path.read_text("utf-8")):
            assert version in pythons, path


def test_a_clone_that_would_convert_line_ends_has_the_same_bytes(tmp_path):
    """As on Windows: scripts start there, and pictures are compared byte by byte."""
    git = ["git", "-c", "core.autocrlf=true", "-c", "core.safecrlf=false"]
    git += ["-c", "user.name=a", "-c", "user.email=a@b.c", "-C", str(tmp_path)]
    subprocess.run([*git, "init", "--quiet"], check=True)
    names = [".gitattributes", ".ci/run", "Makefile", "tools/environment.sh"]
    names += ["book/_static/logo.svg", "book/_static/cover.png"]
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    subprocess.run([*git, "add", "--all"], check=True)
    subprocess.run([*git, "commit", "--quiet", "--message", "all"], check=True)
    for name in names:
        (tmp_path / name).unlink()
    subprocess.run([*git, "checkout", "--quiet", "--force", "HEAD", "."], check=True)
    for name in names:
        assert (tmp_path / name).read_bytes() == (ROOT / name).read_bytes(), name
