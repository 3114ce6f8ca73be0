"""Settings, read once when the app is imported."""

import os
import tempfile
from dataclasses import dataclass


@dataclass(frozen=True)
class Settings:
    """What differs between a laptop and a server."""

    title: str = os.environ.get("ORDERS_TITLE", "Orders")
    database: str = os.environ.get(
        "ORDERS_DATABASE", os.path.join(tempfile.gettempdir(), "devlaunch-orders.sqlite3")
    )


settings = Settings()
