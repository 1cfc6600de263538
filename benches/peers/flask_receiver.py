"""Flask on gunicorn: one worker with threads, as there is one processor."""

import socket

from flask import Flask, abort, request
from gunicorn.app.base import BaseApplication

from ledger import count, is_genuine, open_ledger

app = Flask(__name__)
file = open_ledger()


@app.post("/webhooks/github")
def receive() -> dict[str, str]:
    body = request.get_data()
    if not is_genuine(request.headers.get("x-hub-signature-256"), body):
        abort(401)
    count(file, request.headers.get("x-github-event"), body)
    return {"verdict": "ok"}


class Gunicorn(BaseApplication):
    def load_config(self) -> None:
        for name, value in {
            "bind": f"127.0.0.1:{PORT}",
            "worker_class": "gthread",
            "workers": 1,
            "threads": 8,
            "worker_connections": 1000,
            "keepalive": 60,
            "loglevel": "warning",
            "when_ready": lambda _: print(f"listens on http://127.0.0.1:{PORT}", flush=True),
        }.items():
            self.cfg.set(name, value)

    def load(self) -> Flask:
        return app


if __name__ == "__main__":
    with socket.create_server(("127.0.0.1", 0)) as free:
        PORT = free.getsockname()[1]
    Gunicorn().run()
