"""The files under editors/: each is read by a real parser of its format, and run where that can be.

As they are, and with any target in place of the example's.
"""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import yaml
from support.editors import editor

from devlaunch.adapter.plan import attach_address, make_plan
from devlaunch.init.command import FLAGS
from devlaunch.init.editors import EDITORS, Editor
from devlaunch.init.jsonc import parse as parse_jsonc
from devlaunch.init.templates import Launch, load, render, to_attributes
from devlaunch.target.commandline import read
from devlaunch.target.settings import resolve

ROOT = Path(__file__).parents[2]
EDITORS_DIRECTORY = ROOT / "editors"
TEMPLATES = [
    *sorted({file.template for each in EDITORS.values() for file in each.files}),
    "vscode-templates/container.json",
]
COMMAND_LINES = (
    ("app:app",),
    ("--factory", "--port", "9000", "my.app:app.create_app"),
    ("--app-dir", "a dir", "--watch", 'qu"ote', "--watch", "back\\slash", "päckage.app:app"),
    ("worker.py", "--queue", "it's <mail> & 5678"),
    ("-m", "package.module", "127.0.0.1"),
    ("--", "celery", "-A", "app:app", "worker"),
)


def launch_of(words: tuple[str, ...]) -> Launch:
    given = read(words).given
    return Launch(words, to_attributes(given, resolve(given).target), "127.0.0.2", 5679)


@pytest.fixture(params=COMMAND_LINES, ids=" ".join)
def launch(request: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Launch:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a dir").mkdir()
    for name in ("worker.py", 'qu"ote', "back\\slash"):
        (tmp_path / name).touch()
    return launch_of(request.param)


READERS: dict[str, Callable[[str], Any]] = {
    ".json": json.loads,
    ".sublime-project": json.loads,
    ".toml": tomllib.loads,
    ".xml": ElementTree.fromstring,
    ".yaml": yaml.safe_load,
}


def read_template(name: str, launch: Launch | None = None) -> Any:
    text = load(name)
    if launch is not None:
        text = render(text, name, launch)
    return READERS[Path(name).suffix](text)


@pytest.mark.parametrize("name", [n for n in TEMPLATES if Path(n).suffix in READERS])
def test_it_is_what_its_name_says(name: str) -> None:
    assert read_template(name) is not None
    if name.endswith((".json", ".sublime-project")):
        assert parse_jsonc(load(name)).value == read_template(name)


def test_every_file_is_of_an_editor() -> None:
    """What lies in the folders and is of no use would be shipped."""
    there = {
        str(path.relative_to(EDITORS_DIRECTORY))
        for name in {Path(template).parts[0] for template in TEMPLATES}
        for path in (EDITORS_DIRECTORY / name).rglob("*")
        if path.is_file()
    }
    assert there == set(TEMPLATES)


@pytest.mark.parametrize("name", TEMPLATES)
def test_the_example_fills_its_own_holes(name: str) -> None:
    example = Launch(("app:app",), {"app": "app:app"})
    assert render(load(name), name, example) == load(name)


def entries(name: str, launch: Launch) -> list[dict[str, Any]]:
    """The configurations of a template in JSON."""
    value = read_template(name, launch)
    if isinstance(value, list):
        return value
    keys = ("configurations", "debugger_configurations", "tasks")
    found = next(value[key] for key in keys if key in value)
    if isinstance(found, dict):
        return [entry["configuration"] for entry in found.values()]
    return list(found)


JSON = [
    "vscode-templates/launch.json", "vscode-templates/tasks.json", "zed/debug.json",
    "sublime/project.sublime-project", "vimspector/vimspector.json",
]  # fmt: skip


@pytest.mark.parametrize("name", JSON)
def test_what_json_says_is_what_was_asked_for(name: str, launch: Launch) -> None:
    found = entries(name, launch)
    assert found
    for entry in found:
        if entry.get("request") == "attach":
            assert entry.get("connect", {}).get("port", 5679) == 5679
        elif entry.get("module") == "devlaunch" or entry.get("label") == "devlaunch":
            assert entry["args"][-len(launch.words) :] == list(launch.words)
        else:
            assert launch.attributes.items() <= entry.items()
            check_plan(entry)


def check_plan(entry: dict[str, Any]) -> None:
    """What `devlaunch adapter` would start."""
    arguments = {k: v for k, v in entry.items() if k != "cwd"}
    assert make_plan(arguments, environ={}, directory=str(Path.cwd())).words


def test_the_attach_configurations_lead_to_a_keeper() -> None:
    for name in ("vscode-templates/launch.json", "vscode-templates/container.json"):
        attaching = [e for e in entries(name, Launch((), {})) if e["request"] == "attach"]
        assert [attach_address(entry) for entry in attaching] == [("127.0.0.1", 5678)]


def test_helix(launch: Launch) -> None:
    (language,) = read_template("helix/languages.toml", launch)["language"]
    started, attached = language["debugger"]["templates"]
    assert started["args"] == launch.attributes
    assert (started["request"], attached["request"]) == ("launch", "attach")


def test_pycharm(launch: Launch) -> None:
    """PyCharm parts the parameters at spaces; double quotes keep them together."""
    run = read_template("pycharm/devlaunch.run.xml", launch)
    options = {o.get("name"): o.get("value") for o in run.iter("option")}
    assert (options["SCRIPT_NAME"], options["MODULE_MODE"]) == ("devlaunch", "true")
    reader = shlex.shlex(options["PARAMETERS"], posix=True, punctuation_chars=False)
    reader.whitespace_split, reader.quotes, reader.escape = True, '"', ""
    if not any('"' in word for word in launch.words):
        assert list(reader) == list(launch.words)
    attach = read_template("pycharm/attach.run.xml", launch)
    options = {o.get("name"): o.get("value") for o in attach.iter("option")}
    assert options["remoteAddress"] == "127.0.0.2:5679"
    assert attach[0].get("type") == "PythonDapAttachConfiguration"


def set_up(name: str, launch: Launch, root: Path) -> Editor:
    editor = EDITORS[name]
    return editor.prepare(editor, str(root), resolve(read(launch.words).given))


@pytest.mark.parametrize("name", ["compose", "k8s"])
def test_a_container_debugs_on_loopback_only(name: str, launch: Launch, tmp_path: Path) -> None:
    (tmp_path / ".vscode").mkdir()
    (tmp_path / "docker-compose.yml").touch()
    (tmp_path / "Dockerfile").write_text("WORKDIR /code\n")
    setup = set_up(name, launch, tmp_path)
    file, attach = setup.files
    text = render(load(file.template), file.template, launch, file.holes)
    document = yaml.safe_load(text)
    if name == "compose":
        (service,) = document["services"].values()
        assert "docker compose -f docker-compose.yml -f compose.devlaunch.yaml up" in text
        assert all(port.startswith("127.0.0.1:5679:5679") for port in service["ports"])
        assert service["volumes"] == [".:/code"]
        command = service["command"]
    else:
        (container,) = document["spec"]["template"]["spec"]["containers"]
        assert container["livenessProbe"] is None
        assert "deployment/web 5679:5679" in text
        command = container["command"]
        assert "--allow-remote-debug" not in command
    assert command[0] == "devlaunch"
    config = resolve(read(command[1:]).given)
    assert config.debug_attach
    expected = resolve(read(launch.words).given)
    assert config.target == expected.target
    assert config.host == ("0.0.0.0" if config.target.serves else "127.0.0.1")
    mapped = json.loads(render(load(attach.template), attach.template, launch, attach.holes))
    (configuration,) = mapped["configurations"]
    assert configuration["pathMappings"][0]["remoteRoot"] == "/code"


# --- in the real editors ------------------------------------------------------------------------

NEOVIM = """
local configurations
package.preload["dap"] = function()
  return { adapters = {}, configurations = { python = { { name = "mine" } } } }
end
package.preload["dap-python"] = function()
  return { setup = function() require("dap").adapters.python = {} end }
end
for _ = 1, 2 do dofile("config.lua") end
local dap = require("dap")
io.write(vim.json.encode({ dap.adapters.devlaunch, dap.configurations.python,
  #vim.api.nvim_get_autocmds({ group = "devlaunch" }) }))
"""


def test_neovim_loads_it(launch: Launch, tmp_path: Path) -> None:
    """In the real Neovim; nvim-dap is stood in for by a table, to see what is put there."""
    (tmp_path / "config.lua").write_text(
        render(load("neovim/devlaunch.lua"), "devlaunch.lua", launch)
    )
    (tmp_path / "look.lua").write_text(NEOVIM)
    done = subprocess.run(
        [editor("nvim"), "--clean", "--headless", "-c", "luafile look.lua", "-c", "qa!"],
        cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    adapter, configurations, autocommands = json.loads(done.stdout)
    assert adapter == {"type": "executable", "command": "devlaunch", "args": ["adapter"]}
    assert [c["name"] for c in configurations] == [
        "devlaunch: attach", "devlaunch: launch under debugpy", "devlaunch: adapter", "mine",
    ]  # fmt: skip
    attach, debugpy, adapted, _ = configurations
    assert attach["connect"] == {"host": "127.0.0.2", "port": 5679}
    assert debugpy["args"] == list(launch.words)
    assert launch.attributes.items() <= adapted.items()
    assert autocommands == 1


EMACS = """
(unless (require 'dape nil t) (defvar dape-configs nil) (provide 'dape))
(require 'json)
(require 'cl-lib)
(defun members (name)
  (cl-loop for (key value) on (alist-get name dape-configs) by #'cddr
           unless (eq key :cwd) collect (cons (symbol-name key) value)))
(load (expand-file-name "config.el") nil t)
(princ (json-encode
        (vconcat (mapcar #'members '(devlaunch-attach devlaunch-debugpy devlaunch-adapter)))))
"""


def test_emacs_loads_it(launch: Launch, tmp_path: Path) -> None:
    """In the real Emacs, with its dape when there is one."""
    (tmp_path / "config.el").write_text(render(load("emacs/devlaunch.el"), "devlaunch.el", launch))
    (tmp_path / "look.el").write_text(EMACS)
    done = subprocess.run(
        [editor("emacs"), "--batch", "--quick", "--load", "look.el"],
        cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    attach, debugpy, adapted = json.loads(done.stdout)
    assert (attach["host"], attach["port"]) == ("127.0.0.2", 5679)
    assert attach[":connect"] == {"host": "127.0.0.2", "port": 5679}
    assert debugpy[":args"] == list(launch.words)
    for name, value in launch.attributes.items():
        assert adapted[f":{name}"] == value


# --- docs, wheel --------------------------------------------------------------------------------

IN_DOCS = {
    "docs/editors.md": [
        ("lua", "neovim/devlaunch.lua"), ("elisp", "emacs/devlaunch.el"),
        ("toml", "helix/languages.toml"), ("json", "vimspector/vimspector.json"),
        ("json", "vscode-templates/launch.json"), ("json", "vscode-templates/tasks.json"),
        ("json", "zed/debug.json"), ("json", "sublime/project.sublime-project"),
    ],
    "docs/init.md": [
        ("yaml", "compose/compose.devlaunch.yaml"), ("yaml", "k8s/devlaunch.k8s.yaml"),
    ],
}  # fmt: skip


@pytest.mark.parametrize("page", IN_DOCS)
def test_the_docs_show_the_templates(page: str) -> None:
    blocks = re.findall(r"(?ms)^```(\w+)[^\n]*\n(.*?)^```$", (ROOT / page).read_text("utf-8"))
    for language, template in IN_DOCS[page]:
        assert (language, load(template)) in blocks, f"{page} has not the text of {template}"


def test_the_page_about_init_is_complete() -> None:
    page = (ROOT / "docs" / "init.md").read_text("utf-8")
    for name, each in EDITORS.items():
        (row,) = re.findall(rf"^\| `{name}` \|.*", page, re.MULTILINE)
        paths = [f"`{file.path}`" for file in each.files if "*" not in file.path]
        assert all(path in row for path in paths), name
    assert all(f"`{flag}`" in page for names in FLAGS for flag in names)


def test_a_wheel_has_the_templates(tmp_path: Path) -> None:
    """Built, installed alone, and run in a fresh environment without the source beside it."""
    run = [sys.executable, "-m", "pip"]
    options = ["--quiet", "--disable-pip-version-check", "--no-deps"]
    subprocess.run(
        [*run, "wheel", *options, "--wheel-dir", str(tmp_path), str(ROOT)], check=True, timeout=300
    )
    (wheel,) = tmp_path.glob("devlaunch_debug-*.whl")
    site = tmp_path / "site"
    subprocess.run([*run, "install", *options, "--target", str(site), str(wheel)], check=True)
    shipped = {str(p.relative_to(site / "devlaunch" / "editors"))
               for p in (site / "devlaunch" / "editors").rglob("*") if p.is_file()}  # fmt: skip
    assert shipped == set(TEMPLATES)
    (tmp_path / "project").mkdir()
    # The dependencies are those that are installed here; the wheel's devlaunch goes before ours.
    done = subprocess.run(
        [sys.executable, "-m", "devlaunch", "init", "zed", "--print", "main:app"],
        cwd=tmp_path / "project", env={"PYTHONPATH": str(site)},
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)[1]["args"] == ["main:app"]
