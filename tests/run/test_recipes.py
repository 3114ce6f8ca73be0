"""The recipes in docs/recipes as they stand: their files, commands and reloads, for real."""

from __future__ import annotations

import http.client
import re
import shlex
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
from support.dap import DapClient
from support.launch import Launch, environment, free_port, launched, save
from support.wait import wait_until

RECIPES = Path(__file__).parents[2] / "docs" / "recipes"


class Recipe:
    """A page's files, written into a directory, and its command lines."""

    def __init__(self, name: str, directory: Path) -> None:
        self.text = (RECIPES / f"{name}.md").read_text()
        self.directory = directory
        files = r"^`([\w./-]+)`[^`]*?:\n\n```\w+\n(.*?)^```$"
        for path, content in re.findall(files, self.text, re.DOTALL | re.MULTILINE):
            (directory / path).write_text(content)

    def words(self, start: str) -> list[str]:
        """The words of the command line that begins so; with ports of its own for the debugger."""
        line = re.search(rf"^\$ ({re.escape(start)}.*)$", self.text, re.MULTILINE)
        assert line, start
        words = shlex.split(line[1])
        at = words.index("--debug-attach") + 1 if "--debug-attach" in words else 0
        return [*words[:at], *(["--debug-address", "127.0.0.1:0"] if at else []), *words[at:]][1:]

    def edit(self, name: str, old: str, new: str) -> None:
        path = self.directory / name
        assert old in path.read_text()
        save(path, path.read_text().replace(old, new))

    def line(self, name: str, text: str) -> int:
        """The number of the line that has this text."""
        lines = (self.directory / name).read_text().splitlines()
        return next(number for number, line in enumerate(lines, start=1) if text in line)


def fetch(port: int) -> str:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=20) as response:
            return response.read().decode()
    except (OSError, http.client.HTTPException):  # its own server ends within a response
        return ""


@pytest.mark.parametrize("name", ["flask", "fastapi"])
def test_an_app_is_debugged_over_a_reload(tmp_path: Path, name: str) -> None:
    pytest.importorskip(name)
    recipe = Recipe(name, tmp_path)
    words = [*recipe.words("devlaunch --debug-attach app:app"), "--port", "0"]
    with launched(*words, cwd=tmp_path) as launch:
        launch.wait_for("ready in")
        with DapClient("127.0.0.1", launch.debug_port, timeout=20) as ide:
            line = recipe.line("app.py", "return {")
            ide.attach(breakpoints={str(tmp_path / "app.py"): [line]})
            for greeting in ("Hello", "Goodbye"):
                if greeting == "Goodbye":
                    recipe.edit("app.py", "Hello", "Goodbye")
                    launch.wait_for("reloaded in")
                answer = stop_and_answer(launch, ide, line)
                assert greeting in answer
    if name == "fastapi":
        assert launch.text.count("startup") == launch.text.count("shutdown") == 2


def stop_and_answer(launch: Launch, ide: DapClient, line: int) -> str:
    """What a request is answered that stops at the line and goes on."""
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(launch.get)
        stopped = ide.wait_event("stopped")
        assert ide.top_frame(stopped)["line"] == line
        ide.continue_(stopped["threadId"])
        return answer.result(20)


def test_the_command_of_flask(tmp_path: Path) -> None:
    pytest.importorskip("flask")
    recipe = Recipe("flask", tmp_path)
    port = str(free_port())
    words = recipe.words("devlaunch --debug-attach -- flask")
    words[words.index("8000")] = port
    with launched(*words, cwd=tmp_path) as launch:
        wait_until(lambda: "Hello" in fetch(int(port)), 20, lambda: launch.text)
        recipe.edit("app.py", "Hello", "Goodbye")
        wait_until(lambda: "Goodbye" in fetch(int(port)), 20, lambda: launch.text)
        assert "the reloader of werkzeug is switched off" in launch.text


def test_templates_of_flask_in_debug_mode(tmp_path: Path) -> None:
    pytest.importorskip("flask")
    recipe = Recipe("flask", tmp_path)
    (tmp_path / "templates").mkdir()
    (tmp_path / "templates" / "home.html").write_text("{{ message }} there")
    recipe.edit("app.py", "return {", 'return render_template("home.html", message=message)  # {')
    recipe.edit("app.py", "import Flask", "import Flask, render_template")
    words = recipe.words("FLASK_DEBUG=1 devlaunch --debug-attach")
    assert words.pop(0) == "devlaunch"
    with launched(*words, "--port", "0", cwd=tmp_path, env={"FLASK_DEBUG": "1"}) as launch:
        launch.wait_served("Hello there")
        recipe.edit("templates/home.html", "there", "again")
        launch.wait_served("Hello again")
    assert "reloaded" not in launch.text


@pytest.fixture
def django_project(tmp_path: Path) -> Path:
    """What the recipe starts from, with a page and a template."""
    pytest.importorskip("django")
    command = [sys.executable, "-m", "django", "startproject", "proj", "."]
    subprocess.run(command, cwd=tmp_path, check=True, env=environment())
    urls = tmp_path / "proj" / "urls.py"
    urls.write_text(
        "from django.shortcuts import render\nfrom django.urls import path\n\n\n"
        "def home(request):\n"
        "    return render(request, 'home.html', {'greeting': 'Hello'})\n\n\n"
        "urlpatterns = [path('', home)]\n"
    )
    settings = tmp_path / "proj" / "settings.py"
    settings.write_text(settings.read_text().replace("'DIRS': []", "'DIRS': ['templates']"))
    assert "['templates']" in settings.read_text()
    (tmp_path / "templates").mkdir()
    (tmp_path / "templates" / "home.html").write_text("{{ greeting }} there")
    return tmp_path


def test_runserver_by_the_settings_of_the_recipe(django_project: Path) -> None:
    recipe = Recipe("django", django_project)
    toml = re.search(r"```toml\n(.*?)```", recipe.text, re.DOTALL)
    assert toml
    port = free_port()
    text = toml[1].replace('"runserver"', f'"runserver", "127.0.0.1:{port}"')
    assert str(port) in text
    (django_project / "pyproject.toml").write_text(text + 'debug-address = "127.0.0.1:0"\n')
    with launched(cwd=django_project) as launch:
        wait_until(lambda: fetch(port) == "Hello there", 20, lambda: launch.text)
        recipe.edit("proj/urls.py", "Hello", "Goodbye")
        wait_until(lambda: fetch(port) == "Goodbye there", 20, lambda: launch.text)
        recipe.edit("templates/home.html", "there", "again")
        wait_until(lambda: fetch(port) == "Goodbye again", 20, lambda: launch.text)
        assert "the reloader of Django is switched off" in launch.text


@pytest.mark.parametrize("interface", ["wsgi", "asgi"])
def test_the_application_object_of_django(django_project: Path, interface: str) -> None:
    recipe = Recipe("django", django_project)
    words = recipe.words(f"devlaunch --debug-attach --watch '**/*.html' proj.{interface}")
    with launched(*words, "--port", "0", cwd=django_project) as launch:
        launch.wait_served("Hello there")
        recipe.edit("proj/urls.py", "Hello", "Goodbye")
        launch.wait_served("Goodbye there")
        recipe.edit("templates/home.html", "there", "again")
        launch.wait_served("Goodbye again")


def test_a_worker_of_celery(tmp_path: Path) -> None:
    pytest.importorskip("celery")
    recipe = Recipe("celery", tmp_path)
    send = recipe.text.partition('$ python -c "')[2].partition('"')[0]
    assert "delay(2, 3)" in send

    def delay() -> None:
        command = [sys.executable, "-c", send]
        subprocess.run(command, cwd=tmp_path, check=True, env=environment())

    with launched(*recipe.words("devlaunch --debug-attach -- celery"), cwd=tmp_path) as launch:
        launch.wait_for("celery@.* ready")
        with DapClient("127.0.0.1", launch.debug_port, timeout=20) as ide:
            line = recipe.line("proj.py", "result = x + y")
            ide.attach(breakpoints={str(tmp_path / "proj.py"): [line]})
            delay()
            stopped = ide.wait_event("stopped")
            recipe.edit("proj.py", "x + y", "x * y")
            launch.wait_for("will reload on continue")
            ide.continue_(stopped["threadId"])
            launch.wait_for("add: 5")
            launch.wait_for("reloaded in(?s:.*)celery@.* ready")
            delay()
            ide.continue_(ide.wait_event("stopped")["threadId"])
            launch.wait_for("add: 6")
