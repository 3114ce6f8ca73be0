"""A small database connection that lives as long as the app."""

import sqlite3


class Database:
    """Opened by the app's startup hook, closed by its shutdown hook."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.connection: sqlite3.Connection | None = None

    def connect(self) -> None:
        self.connection = sqlite3.connect(self.path)
        self.connection.execute(
            "CREATE TABLE IF NOT EXISTS orders (id INTEGER PRIMARY KEY, item TEXT NOT NULL)"
        )
        self.connection.commit()

    def disconnect(self) -> None:
        if self.connection is not None:
            self.connection.close()
            self.connection = None

    def add(self, item: str) -> int:
        assert self.connection is not None, "connect() first"
        cursor = self.connection.execute("INSERT INTO orders (item) VALUES (?)", (item,))
        self.connection.commit()
        return int(cursor.lastrowid or 0)

    def all(self) -> list[dict[str, object]]:
        assert self.connection is not None, "connect() first"
        rows = self.connection.execute("SELECT id, item FROM orders ORDER BY id")
        return [{"id": order, "item": item} for order, item in rows]
