"""The apps that are served while they are changed: their files, and which of them is saved.

Each answers GET / with its version and GET /pid with the number of its process. The versions differ
in length, too: bytecode counts as fresh for a source of the same size and whole second.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

SMALL = """\
import os

VERSION = "@@"


def handler(path):
    version = "@@"
    return str(os.getpid()) if path == "/pid" else version


async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        while True:
            message = await receive()
            await send({"type": message["type"] + ".complete"})
            if message["type"] == "lifespan.shutdown":
                return
    body = handler(scope["path"]).encode()
    length = (b"content-length", b"%d" % len(body))
    await send({"type": "http.response.start", "status": 200, "headers": [length]})
    await send({"type": "http.response.body", "body": body})
"""
FASTAPI = """\
import os

from fastapi import FastAPI
from fastapi.responses import PlainTextResponse
from pydantic import BaseModel, Field

app = FastAPI()


class Order(BaseModel):
    number: int
    customer: str = Field(max_length=80)
    lines: list[str] = []


@app.get("/", response_class=PlainTextResponse)
def version() -> str:
    return "@@"


@app.get("/pid", response_class=PlainTextResponse)
def process() -> str:
    return str(os.getpid())


@app.get("/orders/{number}")
def read(number: int) -> Order:
    return Order(number=number, customer="somebody")


@app.post("/orders")
def create(order: Order) -> Order:
    return order
"""
MODELS = """\
from __future__ import annotations

from sqlalchemy import ForeignKey, String, create_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

engine = create_engine("sqlite://")


class Base(DeclarativeBase):
    pass


class Customer(Base):
    __tablename__ = "customers"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(80))
    orders: Mapped[list[Order]] = relationship(back_populates="customer")


class Order(Base):
    __tablename__ = "orders"
    id: Mapped[int] = mapped_column(primary_key=True)
    customer_id: Mapped[int] = mapped_column(ForeignKey("customers.id"))
    customer: Mapped[Customer] = relationship(back_populates="orders")
    lines: Mapped[list[Line]] = relationship()


class Line(Base):
    __tablename__ = "lines"
    id: Mapped[int] = mapped_column(primary_key=True)
    order_id: Mapped[int] = mapped_column(ForeignKey("orders.id"))
    article: Mapped[str] = mapped_column(String(40))
    price: Mapped[float]
"""
SCHEMAS = """\
from pydantic import BaseModel, Field


class Line(BaseModel):
    article: str = Field(max_length=40)
    price: float = Field(ge=0)


class Order(BaseModel):
    id: int
    lines: list[Line] = []


class Customer(BaseModel):
    id: int
    name: str
    orders: list[Order] = []
"""
FRAMES = """\
import numpy as np
import pandas as pd


def totals(prices: list[float]) -> float:
    frame = pd.DataFrame({"price": np.asarray(prices, dtype=float)})
    return float(frame["price"].sum())
"""
HEAVY = """\
import os

from fastapi import FastAPI
from fastapi.responses import PlainTextResponse

import frames
import models
import schemas

app = FastAPI()
models.Base.metadata.create_all(models.engine)


@app.get("/", response_class=PlainTextResponse)
def version() -> str:
    return "@@"


@app.get("/pid", response_class=PlainTextResponse)
def process() -> str:
    return str(os.getpid())


@app.post("/totals")
def totals(order: schemas.Order) -> float:
    return frames.totals([line.price for line in order.lines])


@app.get("/customers/{number}")
def customer(number: int) -> schemas.Customer:
    return schemas.Customer(id=number, name="somebody")
"""
FLASK = """\
import os
import sys

from flask import Flask

app = Flask(__name__)


@app.get("/")
def version():
    return "@@"


@app.get("/pid")
def process():
    return str(os.getpid())


if __name__ == "__main__":
    app.run(port=int(sys.argv[1]), use_reloader=True, reloader_type="stat")
"""
DJANGO_MANAGE = """\
import os
import sys

from django.core.management import execute_from_command_line

if __name__ == "__main__":
    os.environ["DJANGO_SETTINGS_MODULE"] = "settings"
    execute_from_command_line(sys.argv)
"""
DJANGO_SETTINGS = """\
SECRET_KEY = "of a benchmark"
DEBUG = True
ALLOWED_HOSTS = ["*"]
ROOT_URLCONF = "urls"
USE_TZ = True
INSTALLED_APPS = ["django.contrib.contenttypes", "django.contrib.auth", "django.contrib.sessions"]
MIDDLEWARE = ["django.contrib.sessions.middleware.SessionMiddleware"]
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
"""
DJANGO_URLS = """\
import os

from django.http import HttpResponse
from django.urls import path


def version(request):
    return HttpResponse("@@")


def process(request):
    return HttpResponse(str(os.getpid()))


urlpatterns = [path("", version), path("pid", process)]
"""


def token(count: int) -> bytes:
    """What version `count` answers, and no other."""
    return b"<version %d>" % count


@dataclass(frozen=True)
class App:
    """`saved` is the file that is changed; `source` its text with `@@` for the version."""

    name: str
    framework: str
    source: str
    saved: str = "app.py"
    others: Mapping[str, str] = field(default_factory=dict)

    def text(self, count: int) -> str:
        """The source of version `count`."""
        return self.source.replace("@@", token(count).decode()) + "#" * (count % 50) + "\n"

    def write(self, directory: Path) -> Path:
        """Make the app in an empty directory; returns the file that is to be saved."""
        for name, text in self.others.items():
            (directory / name).write_text(text)
        file = directory / self.saved
        file.write_text(self.text(0))
        return file


APPS = (
    App("small", "asgi", SMALL),
    App("FastAPI", "asgi", FASTAPI),
    App(
        "heavy",
        "asgi",
        HEAVY,
        others={"models.py": MODELS, "schemas.py": SCHEMAS, "frames.py": FRAMES},
    ),
    App("Flask", "flask", FLASK),
    App(
        "Django",
        "django",
        DJANGO_URLS,
        saved="urls.py",
        others={"manage.py": DJANGO_MANAGE, "settings.py": DJANGO_SETTINGS},
    ),
)
SMALL_APP, FASTAPI_APP, HEAVY_APP, *_ = APPS
