"""FastAPI on uvicorn with uvloop and httptools: one process, as there is one processor."""

import socket

import uvicorn
from fastapi import FastAPI, HTTPException, Request

from ledger import count, is_genuine, open_ledger

app = FastAPI()
file = open_ledger()


@app.post("/webhooks/github")
async def receive(request: Request) -> dict[str, str]:
    body = await request.body()
    if not is_genuine(request.headers.get("x-hub-signature-256"), body):
        raise HTTPException(401)
    count(file, request.headers.get("x-github-event"), body)
    return {"verdict": "ok"}


if __name__ == "__main__":
    listener = socket.create_server(("127.0.0.1", 0))
    print(f"listens on http://127.0.0.1:{listener.getsockname()[1]}", flush=True)
    uvicorn.Server(uvicorn.Config(app, access_log=False, log_level="warning")).run(sockets=[listener])
