"""Reloaders inside the target are switched off, with one line that says so."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
from support.child import Child
from support.wait import wait_until


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def fetch(port: int) -> str | None:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=5) as answer:
            return answer.read().decode()
    except OSError:
        return None


def run(directory: Path, name: str, port: int, **target: object) -> None:
    """It answers from the child's own process, and the note came once."""
    with Child(directory=directory, **target) as child:
        answer = wait_until(lambda: fetch(port), what=lambda: f"answer\n{child.stderr}")
        assert answer == str(child.process.pid)
        wait_until(lambda: child.all("note"), what="the note, which another thread reads")
        assert [m["text"] for m in child.all("note")] == [
            f"the reloader of {name} is switched off: devlaunch restarts the program"
        ]
        path = f"/proc/{child.process.pid}/task/{child.process.pid}/children"
        if os.path.exists(path):
            assert Path(path).read_text() == ""


ASGI = """
import os
async def app(scope, receive, send):
    assert scope["type"] == "http"
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": str(os.getpid()).encode()})
"""


def test_the_command_of_uvicorn(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(ASGI)
    port = free_port()
    args = ("app:app", "--reload", "--reload-dir", ".", "--port", str(port))
    run(tmp_path, "uvicorn", port, command="uvicorn", args=args)


def test_uvicorn_run(tmp_path: Path) -> None:
    port = free_port()
    (tmp_path / "app.py").write_text(
        f"{ASGI}\nimport uvicorn\nif __name__ == '__main__':\n"
        f"    uvicorn.run('app:app', reload=True, port={port})\n"
    )
    run(tmp_path, "uvicorn", port, script="app.py")


FLASK = """
import os
from flask import Flask
app = Flask(__name__)
@app.get("/")
def root():
    return str(os.getpid())
"""


def test_flask_run_with_debug(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(FLASK)
    port = free_port()
    run(tmp_path, "werkzeug", port, command="flask", args=("run", "--debug", "--port", str(port)))


def test_the_run_method_of_flask(tmp_path: Path) -> None:
    port = free_port()
    (tmp_path / "app.py").write_text(f"{FLASK}\napp.run(debug=True, port={port})\n")
    run(tmp_path, "werkzeug", port, command="python", args=("app.py",))


def test_the_command_of_hypercorn(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(ASGI)
    port = free_port()
    args = ("app:app", "--reload", "--bind", f"127.0.0.1:{port}")
    run(tmp_path, "hypercorn", port, command="hypercorn", args=args)


@pytest.fixture(scope="session")
def django_python(tmp_path_factory: pytest.TempPathFactory) -> str:
    """An interpreter that has Django."""
    for python in (sys.executable, os.environ.get("TEST_DJANGO_PYTHON", "")):
        if (
            python
            and not subprocess.run(
                [python, "-c", "import django"], check=False, stderr=-3
            ).returncode
        ):
            return python
    pytest.skip("no Django here (TEST_DJANGO_PYTHON names a Python that has it)")


def test_runserver_of_django(tmp_path: Path, django_python: str) -> None:
    (tmp_path / "manage.py").write_text(
        "import os, sys\n"
        "from django.conf import settings\n"
        "settings.configure(DEBUG=True, ROOT_URLCONF='urls', SECRET_KEY='x')\n"
        "from django.core.management import execute_from_command_line\n"
        "execute_from_command_line(sys.argv)\n"
    )
    (tmp_path / "urls.py").write_text(
        "import os\nfrom django.http import HttpResponse\nfrom django.urls import path\n"
        "urlpatterns = [path('', lambda request: HttpResponse(str(os.getpid())))]\n"
    )
    port = free_port()
    run(
        tmp_path,
        "Django",
        port,
        command="python",
        args=("manage.py", "runserver", f"127.0.0.1:{port}"),
        python=django_python,
    )


def test_the_hooks_leave_the_modules_as_they_are(tmp_path: Path) -> None:
    (tmp_path / "job.py").write_text(
        "import uvicorn.config as c, importlib.resources as r, inspect\n"
        "print(type(c.__loader__).__name__, c.__spec__.loader is c.__loader__,\n"
        "      vars(c.__loader__).get('exec_module'),\n"
        "      'reload' in inspect.signature(c.Config).parameters,\n"
        "      c.Config('x:y', workers=2).workers)\n"
    )
    with Child(script="job.py", directory=tmp_path) as child:
        assert child.wait() == 0
    assert child.stdout == "SourceFileLoader True None True 2\n"
    assert not child.all("note")
