"""A Flask app (needs `pip install flask`):  devlaunch --debug-attach app:app."""

from flask import Flask

app = Flask(__name__)


@app.get("/")
def home():
    return {"message": "Hello from Flask"}


@app.get("/square/<int:number>")
def square(number):
    result = number * number
    return {"number": number, "square": result}


if __name__ == "__main__":
    # `devlaunch app.py` works too: Flask's own reloader is then switched off.
    app.run(debug=True, port=8000)
