"""The rules of the house, as tests: imports, packaging, the workflow sandbox, settings, repository."""

from __future__ import annotations

import ast
import asyncio
import importlib
import re
import subprocess
import sys
import tomllib
import zipfile
from itertools import chain, pairwise
from pathlib import Path

import pytest
from temporalio.worker.workflow_sandbox import (
    SandboxedWorkflowRunner,
    SandboxRestrictions,
    UnintentionalPassthroughError,
)
from temporalio.workflow import SandboxImportNotificationPolicy, _Definition

from postwerk.archive.engine import Archive
from postwerk.archive.migrate import differences
from postwerk.settings import Settings
from workflows.registered import WORKFLOWS

ROOT = Path(__file__).resolve().parents[1]
ROOMS = ["postwerk", "workflows", "activities", "api"]


def tracked_files() -> list[Path]:
    """What git would hand on; a checkout without git shows everything outside hidden folders."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    paths = listed.stdout.split("\n")[:-1] if listed.returncode == 0 else _all_files()
    return [ROOT / path for path in paths if (ROOT / path).is_file()]


def _all_files() -> list[str]:
    found = (path.relative_to(ROOT) for path in ROOT.rglob("*"))
    return [str(path) for path in found if not any(part.startswith(".") for part in path.parts[:-1])]


# Imports and packaging


def test_imports_point_one_way() -> None:
    done = subprocess.run(
        [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("name", [*ROOMS, "worker"])
def test_each_room_is_imported_from_this_repository(name: str) -> None:
    """A published package owns the name `workflows`; installed beside us it must not win."""
    location = importlib.import_module(name).__file__
    assert location is not None
    assert Path(location).is_relative_to(ROOT)


def test_the_wheel_holds_exactly_the_files_of_the_rooms(tmp_path: Path) -> None:
    """hatchling drops a listed folder that does not exist, and is content."""
    done = subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    (wheel,) = tmp_path.glob("*.whl")
    packed = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    inside = (path.relative_to(ROOT) for path in tracked_files())
    assert packed == {str(path) for path in inside if path.parts[0] in ROOMS} | {"worker.py"}


# Workflows


async def _prepare(workflow: type) -> None:
    """Load a workflow into the sandbox as a worker does; whatever it did not pass through is an error."""
    restrictions = SandboxRestrictions.default.with_import_notification_policy(
        SandboxImportNotificationPolicy.RAISE_ON_UNINTENTIONAL_PASSTHROUGH
    )
    await asyncio.sleep(0)  # the sandbox needs a running loop
    SandboxedWorkflowRunner(restrictions=restrictions).prepare_workflow(_Definition.must_from_class(workflow))


@pytest.mark.parametrize("workflow", WORKFLOWS)
async def test_every_import_of_a_workflow_is_passed_through(workflow: type) -> None:
    """Whatever is forgotten is loaded anew for each run: 1.8 s with sqlmodel instead of 8 ms."""
    await _prepare(workflow)


@pytest.mark.parametrize("forgotten", ["sqlmodel", "aiosmtplib", "postwerk.rules.partition"])
async def test_a_forgotten_pass_through_is_noticed(
    forgotten: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "forgetful.py").write_text(
        "from temporalio import workflow\n"
        f"import {forgotten}\n"
        "@workflow.defn\nclass Forgetful:\n    @workflow.run\n    async def run(self) -> None: ...\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    workflow = importlib.import_module("forgetful").Forgetful
    try:
        with pytest.raises(UnintentionalPassthroughError, match=f"Module {forgotten} "):
            await _prepare(workflow)
    finally:
        del sys.modules["forgetful"]


# Rules


@pytest.mark.parametrize(
    "path", sorted((ROOT / "postwerk" / "rules").glob("*.py")), ids=lambda path: path.name
)
def test_a_rule_looks_at_no_clock_and_throws_no_dice(path: Path) -> None:
    """A decision takes `now` and its chance from outside, so that it can be decided again."""
    tree = ast.parse(path.read_text())
    calls = {ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    forbidden = re.compile(
        r"(.*\.)?(now|utcnow|today)|time\.\w+|(random|secrets|uuid)\.(?!Random$)\w+|monotonic|uuid[147]"
    )
    assert [call for call in sorted(calls) if forbidden.fullmatch(call)] == []


# Settings and schema


def test_env_example_names_every_setting_with_its_default(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = (ROOT / ".env.example").read_text().splitlines()
    given = [line.removeprefix("#").split("=", 1) for line in lines if re.match(r"#?POSTWERK_\w+=", line)]
    assert [name for name, _ in given] == [f"POSTWERK_{name.upper()}" for name in Settings.model_fields]
    for name in Settings.model_fields:
        monkeypatch.delenv(f"POSTWERK_{name.upper()}", raising=False)
    defaults = Settings(_env_file=None)
    for name, value in given:
        if value:
            monkeypatch.setenv(name, value)
    assert Settings(_env_file=None).model_dump() == defaults.model_dump()


def test_env_example_explains_every_setting() -> None:
    lines = (ROOT / ".env.example").read_text().splitlines()
    for before, line in pairwise(lines):
        if line.startswith("#POSTWERK_"):
            assert re.fullmatch(r"# .*\.", before), f"{line} needs one sentence above it"


# SQLAlchemy cannot read an index over an expression back from SQLite, so only PostgreSQL compares that one.
@pytest.mark.filterwarnings("ignore:Skipped unsupported reflection of expression-based index")
@pytest.mark.filterwarnings("ignore:autogenerate skipping metadata-specified expression-based index")
async def test_the_migrations_make_the_tables(archive: Archive) -> None:
    assert await differences(archive) == []


# What people are told, and what is never in the repository


def test_the_commands_of_the_readme_exist() -> None:
    readme = (ROOT / "README.md").read_text()
    targets = set(re.findall(r"^([a-z-]+):.*## ", (ROOT / "Makefile").read_text(), re.M))
    told = set(
        re.findall(
            r"\bmake ([a-z][a-z-]*)\b", "\n".join(re.findall(r"`[^`]*`|^ *\$? *make .*$", readme, re.M))
        )
    )
    assert {"demo", "test"} <= told
    assert told <= targets


def test_every_make_target_explains_itself() -> None:
    makefile = (ROOT / "Makefile").read_text()
    phony = re.search(r"^\.PHONY: (.*)$", makefile, re.M)
    assert phony is not None
    assert set(phony[1].split()) == set(re.findall(r"^([a-z-]+):.*## ", makefile, re.M))


def test_no_package_index_or_download_address_is_written_down() -> None:
    """Where packages come from is the machine's own setting: behind a mirror, a fixed address fails."""
    # In pieces, so that this file passes its own test.
    hosts = [
        "py" + "pi.org",
        "python" + "hosted.org",
        "npm" + "js.org",
        "npm" + "js.com",
        "proxy.golang" + ".org",
    ]
    hosts += ["rubygems" + ".org", "crates" + ".io", "temporal" + ".download", "releases" + "/download"]
    options = ["--" + "index-url", "--extra-" + "index-url", "--" + "find-links"]
    found = [
        f"{path.relative_to(ROOT)}: {word}"
        for path in tracked_files()
        for word in [*hosts, *options]
        if word.encode() in path.read_bytes()
    ]
    assert found == []


def test_there_is_one_list_of_pins_and_no_lock_file() -> None:
    locks = {
        "poetry.lock",
        "uv.lock",
        "Pipfile.lock",
        "pdm.lock",
        "pylock.toml",
        "package-lock.json",
        "yarn.lock",
    }
    assert [path.name for path in tracked_files() if path.name in locks] == []


def test_every_dependency_is_pinned() -> None:
    """A new release of somebody else's must not change what `make demo` installs."""
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pins = {_canonical(line.split("==")[0]) for line in lines if "==" in line}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [*project["dependencies"], *chain(*project["optional-dependencies"].values())]
    assert {_canonical(re.split(r"[<>=;\[ ]", package)[0]) for package in wanted} - pins == set()


def _canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
