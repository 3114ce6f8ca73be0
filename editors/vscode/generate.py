"""Write into package.json what is said elsewhere: the version and the attributes. By `make format`.

The attributes come from editors/attributes.schema.json; their texts go to package.nls.json, where
they can be translated.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
MANIFEST = HERE / "package.json"
TEXTS = HERE / "package.nls.json"

Json = dict[str, Any]

INTERPRETER = {
    "type": "string",
    "description": "The interpreter that runs devlaunch itself, in the place of the selected one.",
}
RULES = ("oneOf", "anyOf", "allOf", "patternProperties")


def generate() -> tuple[Json, Json]:
    """What package.json and package.nls.json should be."""
    manifest, texts = json.loads(MANIFEST.read_text()), json.loads(TEXTS.read_text())
    schema = json.loads((ROOT / "editors" / "attributes.schema.json").read_text())
    texts = {key: text for key, text in texts.items() if not key.startswith("attribute.")}
    (debugger,) = manifest["contributes"]["debuggers"]
    debugger["configurationAttributes"] = {
        request: _attributes(request, schema["definitions"][request], texts)
        for request in ("launch", "attach")
    }
    manifest["version"] = _version()
    return manifest, texts


def _version() -> str:
    text = (ROOT / "devlaunch" / "__init__.py").read_text()
    match = re.search(r'__version__ = "(\d+\.\d+\.\d+)', text)
    assert match, "devlaunch has no version of three numbers"
    return match[1]


def _attributes(request: str, definition: Json, texts: Json) -> Json:
    """The attributes as VS Code takes them; it adds its own, and wants no `true` for a schema."""
    properties = {}
    for name, given in {**definition["properties"], "debugAdapterPython": INTERPRETER}.items():
        if given is True:
            continue
        key = f"attribute.{name}"
        if texts.get(key, given["description"]) != given["description"]:
            key = f"attribute.{request}.{name}"
        texts[key] = given["description"]
        properties[name] = {**given, "description": f"%{key}%"}
    return {
        "properties": properties,
        **{rule: definition[rule] for rule in RULES if rule in definition},
    }


def dump(value: Json) -> str:
    """The text of a file."""
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    for path, value in zip((MANIFEST, TEXTS), generate(), strict=True):
        path.write_text(dump(value))
