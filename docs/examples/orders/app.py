"""An ASGI app in the shape of the one in uvicorn issue 239: hooks, settings, a database.

Standard library only, so that the example needs nothing but devlaunch:

    devlaunch --debug-attach app:app

    curl http://127.0.0.1:8000/                     what the app is
    curl -X POST http://127.0.0.1:8000/orders/tea   add an order
    curl http://127.0.0.1:8000/orders               all orders

Attach a debugger to 127.0.0.1:5678, set breakpoints (in `list_orders`, or on GREETING, which runs
at import), edit, save: the breakpoints are hit again without reattaching.
"""

import json

from database import Database
from settings import settings

GREETING = f"Welcome to {settings.title}"

database = Database(settings.database)


def home() -> object:
    return {"message": GREETING, "try": ["GET /orders", "POST /orders/tea"]}


def list_orders() -> object:
    return {"orders": database.all()}


def add_order(item: str) -> object:
    return {"id": database.add(item), "item": item}


def route(method: str, path: str) -> tuple[int, object]:
    match method, path.strip("/").split("/"):
        case "GET", [""]:
            return 200, home()
        case "GET", ["orders"]:
            return 200, list_orders()
        case "POST", ["orders", item]:
            return 201, add_order(item)
    return 404, {"error": f"nothing at {method} {path}"}


async def lifespan(receive, send):
    while True:
        message = await receive()
        if message["type"] == "lifespan.startup":
            database.connect()
            await send({"type": "lifespan.startup.complete"})
        else:
            database.disconnect()
            await send({"type": "lifespan.shutdown.complete"})
            return


async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        await lifespan(receive, send)
        return
    status, body = route(scope["method"], scope["path"])
    await send(
        {
            "type": "http.response.start",
            "status": status,
            "headers": [(b"content-type", b"application/json")],
        }
    )
    await send({"type": "http.response.body", "body": json.dumps(body).encode() + b"\n"})
