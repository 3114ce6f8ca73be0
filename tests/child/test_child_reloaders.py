"""Reloaders inside the target are switched off, with one line that says so."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
from support.child import Child
from support.interpreters import apart
from support.launch import WSGI, asgi_app, free_port, launched
from support.wait import wait_until


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


ANSWER = "def root():\n    import os\n    return str(os.getpid())\n"

FLASK = f"from flask import Flask\napp = Flask(__name__)\n@app.get('/')\n{ANSWER}"

QUART = f"from quart import Quart\napp = Quart(__name__)\n@app.get('/')\nasync {ANSWER}"

TORNADO = f"""
import asyncio, sys, tornado.web
{ANSWER}
class Root(tornado.web.RequestHandler):
    def get(self):
        self.write(root())
async def main():
    tornado.web.Application([("/", Root)], debug=True).listen(int(sys.argv[1]), "127.0.0.1")
    await asyncio.Event().wait()
asyncio.run(main())
"""

HUPPER = f"""
import hupper, sys
from wsgiref.simple_server import make_server
{ANSWER}
def app(environ, start_response):
    start_response("200 OK", [])
    return [root().encode()]
def main():
    hupper.start_reloader("app.main").watch_files(["app.py"])
    make_server("127.0.0.1", int(sys.argv[1]), app).serve_forever()
if __name__ == "__main__":
    main()
"""

UVICORN_RUN = f"""{ASGI}
import sys, uvicorn
if __name__ == '__main__':
    uvicorn.run('app:app', reload=True, port=int(sys.argv[1]))
"""


@pytest.mark.parametrize(
    ("name", "code", "words"),
    [
        ("uvicorn", ASGI, "uvicorn app:app --reload --reload-dir . --port"),
        ("uvicorn", UVICORN_RUN, "python app.py"),
        ("werkzeug", FLASK, "flask run --debug --port"),
        (
            "werkzeug",
            f"{FLASK}\nimport sys\napp.run(debug=True, port=sys.argv[1])",
            "python app.py",
        ),
        ("hypercorn", ASGI, "hypercorn app:app --reload --bind 127.0.0.1:"),
        ("Quart", QUART, "quart run --reload --port"),
        ("Quart", f"{QUART}\nimport sys\napp.run(port=int(sys.argv[1]))", "python app.py"),
        ("Tornado", TORNADO, "python app.py"),
        ("hupper", HUPPER, "python app.py"),
        ("hupper", HUPPER, "hupper -m app"),
    ],
)
def test_the_reloader_of(tmp_path: Path, name: str, code: str, words: str) -> None:
    (tmp_path / "app.py").write_text(code)
    port = free_port()
    command, *args = (f"{words}{port}" if words.endswith(":") else f"{words} {port}").split()
    run(tmp_path, name, port, command=command, args=tuple(args))


START = "with open('starts', 'a') as file: file.write(f'{VERSION} ')\n"
"""Each process that runs the module says so."""

ASGI_BELOW = f"{asgi_app('')}{START}"

WSGI_BELOW = f"""{WSGI.format(version="")}{START}
import os, sys
def serve():
    from wsgiref.simple_server import make_server
    make_server("127.0.0.1", int(os.environ["PORT"]), app).serve_forever()
"""

UVICORN_SPAWNED = f"""{ASGI_BELOW}
def serve():
    import os, uvicorn
    uvicorn.run("app:app", reload=True, port=int(os.environ["PORT"]))
if __name__ == "__main__":
    import multiprocessing
    process = multiprocessing.get_context("spawn").Process(target=serve)
    process.start(); process.join()
"""

SANIC = f"""
VERSION = ''
{START}
import os
from sanic import Sanic, response
app = Sanic("app")
@app.get("/")
async def root(request):
    return response.text(VERSION)
if __name__ == "__main__":
    app.run(port=int(os.environ["PORT"]), auto_reload=True)
"""

CHERRYPY = f"""
VERSION = ''
{START}
import cherrypy, os
class Root:
    @cherrypy.expose
    def index(self):
        return VERSION
cherrypy.config.update({{"server.socket_port": int(os.environ["PORT"])}})
cherrypy.quickstart(Root())
"""

WATCHFILES = f"""{WSGI_BELOW}
if __name__ == "__main__":
    if "serve" in sys.argv:
        serve()
    import watchfiles
    watchfiles.run_process(".", target=serve)
"""


@pytest.mark.parametrize(
    ("name", "code", "words"),
    [
        ("uvicorn", UVICORN_SPAWNED, "python app.py"),
        ("granian", ASGI_BELOW, "granian --reload --interface asgi --port {} app:app"),
        ("gunicorn", WSGI_BELOW, "gunicorn --reload --bind 127.0.0.1:{} app:app"),
        ("watchfiles", WATCHFILES, "python app.py"),
        ("watchfiles", WATCHFILES, "watchfiles 'python app.py serve' ."),
        ("Sanic", SANIC, "python app.py"),
        ("Sanic", SANIC, "sanic --dev --port {} app:app"),
        ("CherryPy", CHERRYPY, "python app.py"),
    ],
)
def test_a_save_restarts_once_what_has_a_reloader(
    tmp_path: Path, name: str, code: str, words: str
) -> None:
    """Those that need not serve in the child itself."""
    port = free_port()
    python = apart() if name in ("Sanic", "CherryPy") else sys.executable
    env = {"PORT": str(port), "HOME": str(tmp_path)}  # where gunicorn has its control socket
    (tmp_path / "app.py").write_text(code.replace("VERSION = ''", "VERSION = 'v0'", 1))
    # A Sanic that is asked to end before its worker has reported to it never ends.
    command = ("--grace", "0.5", "--", *shlex.split(words.format(port)))
    with launched(*command, cwd=tmp_path, python=python, env=env, port=port) as launch:
        launch.wait_served("v0")
        launch.save(code.replace("VERSION = ''", "VERSION = 'v1'", 1))
        launch.wait_served("v1")
        launch.wait_for("reloaded in")
    assert launch.text.count(f"the reloader of {name} is switched off") == 1, launch.text
    assert launch.text.count("restarted in") == 1, launch.text
    starts = (tmp_path / "starts").read_text().split()
    assert starts.count("v0") == starts.count("v1"), starts


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


RAISING = {
    "in a call": {
        "hupper/__init__.py": "",
        "hupper/worker.py": "",
        "hupper/reloader.py": "def is_active(): pass\ndef start_reloader(path): pass\n"
        "def resolve_spec(path):\n    return lambda: 1 / 0\n",
        "job.py": "import hupper.worker\nimport hupper.reloader\n"
        "hupper.reloader.start_reloader('x')\n",
    },
    "in an import": {
        "quart/__init__.py": "",
        "quart/app.py": "1 / 0\n",
        "job.py": "import quart.app\n",
    },
}


@pytest.mark.parametrize("files", RAISING.values(), ids=RAISING)
def test_no_frame_of_ours_is_in_a_traceback(files: dict[str, str], tmp_path: Path) -> None:
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    with Child(script="job.py", directory=tmp_path) as child:
        assert child.wait() == 1
    assert "ZeroDivisionError" in child.stderr
    assert "<frozen" not in child.stderr
