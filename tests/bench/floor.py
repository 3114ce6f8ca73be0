"""The floor: nothing can be served sooner than by an interpreter that has all but the user's code.

    python floor.py list            print the modules that serving app:app imports, not the user's
    python floor.py serve FD        read their names, import them, say "warm"; at the next line
                                    import app:app and serve it on the listening socket FD

No file is watched, no process is stopped, nothing is forked: what is left is the import of the
user's modules and the start of the server. Run in the app's directory.
"""

from __future__ import annotations

import importlib
import json
import os
import socket
import sys
import threading
from pathlib import Path


def server(**options: object) -> object:
    import uvicorn

    return uvicorn.Server(uvicorn.Config("app:app", log_level="warning", **options))


def show_modules() -> None:
    """Serve one request, so that what the server imports late is there, too."""
    import urllib.request

    with socket.create_server(("127.0.0.1", 0)) as sock:
        served = server()

        def ask() -> None:
            urllib.request.urlopen(f"http://127.0.0.1:{sock.getsockname()[1]}/").read()
            served.should_exit = True

        threading.Thread(target=ask).start()
        served.run(sockets=[sock])
    here = os.getcwd()
    files = {name: getattr(module, "__file__", None) for name, module in sys.modules.items()}
    print(json.dumps([n for n, f in files.items() if n != "__main__" and not _is_in(f, here)]))


def _is_in(file: str | None, directory: str) -> bool:
    return file is not None and Path(directory) in Path(file).parents


def serve(fd: int) -> None:
    for name in json.loads(sys.stdin.readline()):
        try:
            importlib.import_module(name)
        except ImportError:
            pass  # a module that another one puts into sys.modules
    with socket.socket(fileno=fd) as sock:
        print("warm", flush=True)
        if sys.stdin.readline():
            server().run(sockets=[sock])


if __name__ == "__main__":
    sys.path[0] = os.getcwd()
    if sys.argv[1] == "list":
        show_modules()
    else:
        serve(int(sys.argv[2]))
