"""What gets saved while the app runs."""

import os

NAME = "version 0"
PORT = int(os.environ.get("PORT", "8000"))
