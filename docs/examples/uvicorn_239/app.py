"""An app with startup and shutdown hooks and a settings module, as in uvicorn issue 239.

Runs on Python 3.7 with uvicorn 0.11.3, and on today's.
"""

import settings


async def app(scope, receive, send):
    """ASGI: the lifespan hooks, and an answer to any request."""
    if scope["type"] == "lifespan":
        while True:
            message = await receive()
            kind = message["type"].rpartition(".")[2]
            print(f"app: {kind} hook, {settings.NAME}", flush=True)
            await send({"type": message["type"] + ".complete"})
            if kind == "shutdown":
                return
    body = settings.NAME.encode()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": body})


if __name__ == "__main__":
    import uvicorn

    uvicorn.run("app:app", port=settings.PORT, reload=True, log_level="info")
