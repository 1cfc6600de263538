"""What both Python receivers do with a delivery: verify, read, count. Each delivery is a commit of its own."""

import hashlib
import hmac
import json
import os
import sqlite3
import threading

SECRET = os.environ["SECRET"].encode()

# One connection, and a lock around each transaction: threads with a connection each would wait in SQLite's busy
# handler, which sleeps.
one_at_a_time = threading.Lock()


def open_ledger() -> sqlite3.Connection:
    # Autocommit, so that the statements below say where a transaction begins and ends.
    file = sqlite3.connect(os.environ["LEDGER"], isolation_level=None, check_same_thread=False)
    file.executescript(
        """
        PRAGMA journal_mode = WAL;
        PRAGMA synchronous = FULL;
        CREATE TABLE contributions (
            id TEXT PRIMARY KEY, login TEXT NOT NULL, title TEXT NOT NULL, url TEXT NOT NULL, at TEXT NOT NULL
        ) WITHOUT ROWID;
        CREATE TABLE contributors (login TEXT PRIMARY KEY, tally INTEGER NOT NULL) WITHOUT ROWID;
        """
    )
    return file


def is_genuine(signature: str | None, body: bytes) -> bool:
    expected = "sha256=" + hmac.new(SECRET, body, hashlib.sha256).hexdigest()
    return hmac.compare_digest(expected, signature or "")


def count(file: sqlite3.Connection, event: str | None, body: bytes) -> None:
    payload = json.loads(body)
    if event != "pull_request" or payload["action"] != "opened":
        return
    made = payload["pull_request"]
    login = made["user"]["login"]
    identity = f"github:{payload['repository']['id']}:pull_request:{made['number']}:{login}"
    with one_at_a_time:
        file.execute("BEGIN IMMEDIATE")
        new = file.execute(
            "INSERT OR IGNORE INTO contributions VALUES (?, ?, ?, ?, ?)",
            (identity, login, made["title"], made["html_url"], made["created_at"]),
        ).rowcount
        file.execute(
            "INSERT INTO contributors VALUES (?, ?) ON CONFLICT DO UPDATE SET tally = tally + excluded.tally",
            (login, new),
        )
        file.execute("COMMIT")
