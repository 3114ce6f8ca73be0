"""For each Python below the app, which finds this on its PYTHONPATH: has it report what it runs.

And switches reloaders off, as in the app itself.

Nobody may notice, whatever goes wrong here: the program's own path and sitecustomize are what it
would have without us. Pythons as old as 2.7 read this, too.
"""

# mypy: ignore-errors
import os
import sys

_here = os.path.dirname(os.path.abspath(__file__))
sys.path[:] = [entry for entry in sys.path if entry != _here]
sys.path_importer_cache.pop(_here, None)
try:
    if sys.version_info >= (3, 8) and "DEVLAUNCH_REPORTS" in os.environ:
        import _imp

        def _load(module):  # noqa: ANN001, ANN202
            name = "_devlaunch_" + module
            file = os.path.join(os.path.dirname(_here), module + ".py")
            # importlib.util takes longer to load than all of this.
            code = type(__spec__.loader)(name, file).get_code(name)
            _imp._fix_co_filename(code, "<frozen %s>" % name)
            names = {"__name__": name, "__file__": file, "__package__": ""}
            exec(code, names)
            return names

        _reports = _load("modules")["Reports"]()
        _reports.start()
        _load("reloaders")["install"](_reports.note)
except Exception:
    pass
del sys.modules["sitecustomize"]
import sitecustomize  # noqa: E402, F401  # `site` expects that there may be none
