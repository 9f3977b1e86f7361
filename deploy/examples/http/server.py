#!/usr/bin/env -S python3 -B
"""An application with an endpoint for each stage, POST /api/batch-processing/STAGE. Python's standard library only.

    ORDERS_SECRET=… ./server.py [PORT] [DATABASE]

batchd asks again whenever it cannot know that a request was done: a worker died, a connection broke. So the effect of
a request and the answer to it are written in one transaction, under the request's Idempotency-Key; who asks again is
given the same answer, and nothing happens twice.
"""
import contextlib
import hashlib
import hmac
import json
import os
import sqlite3
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import stages

SECRET = os.environ["ORDERS_SECRET"].encode()
PORT = int(sys.argv[1]) if len(sys.argv) > 1 else 8000
DATABASE = Path(sys.argv[2]) if len(sys.argv) > 2 else Path(__file__).parent / "out" / "orders.sqlite"
PATH = "/api/batch-processing/"
MAXIMUM_BYTES = 64 << 20
# As long as an ended batch stays in Redis (limits.retention_seconds). After that its id may be used again for other work,
# and its runs count from 1 again: the same key, and an old answer to it would be a wrong one.
MEMORY_SECONDS = 86_400


def is_signed(header, body):
    try:
        signature = dict(part.split("=", 1) for part in header.split(","))
        moment, given = signature["t"], signature["v1"].encode()
        # Who records a request shall not be able to send it again for ever.
        is_recent = abs(time.time() - int(moment)) < 300
    except (KeyError, ValueError):
        return False
    expected = hmac.new(SECRET, moment.encode() + b"." + body, hashlib.sha256).hexdigest()
    # In constant time: a comparison that ends at the first difference tells how much was right.
    return hmac.compare_digest(expected.encode(), given) and is_recent


def open_database():
    database = sqlite3.connect(DATABASE, timeout=30, isolation_level=None)
    database.execute("PRAGMA journal_mode = WAL")
    return database


@contextlib.contextmanager
def transaction(database):
    # IMMEDIATE: of two requests with one key the second waits here, and then finds the first one's answer.
    database.execute("BEGIN IMMEDIATE")
    try:
        yield
        database.execute("COMMIT")
    except BaseException:
        database.execute("ROLLBACK")
        raise


def answer(database, key, call, item):
    """The line about one item. The key is the same for every attempt, but later ones bring only the items that are
    left: so what is remembered is each item's line, not the whole answer."""
    stage = stages.FOR_EACH[call["stage"]]
    with transaction(database):
        known = database.execute(
            "SELECT line FROM answers WHERE key = ? AND item = ? AND at > ?",
            (key, item["id"], time.time() - MEMORY_SECONDS),
        ).fetchone()
        if known:
            return known[0]
        try:
            line = json.dumps({"item": item["id"], "output": stage(item, call, database)})
        except stages.Refused as error:
            line = json.dumps({"item": item["id"], "error": str(error), "retry": False})
        except stages.NotYet as error:
            # Not remembered: it is to be tried again.
            return json.dumps({"item": item["id"], "error": str(error)})
        database.execute("REPLACE INTO answers VALUES (?, ?, ?, ?)", (key, item["id"], line, time.time()))
        return line


class Handler(BaseHTTPRequestHandler):
    # Keeps connections, and has the chunked encoding: without it nobody could tell a whole answer from one that broke off.
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_POST(self):
        length = self.headers.get("Content-Length", "")
        if not length.isdecimal() or int(length) > MAXIMUM_BYTES:
            self.close_connection = True
            return self.send_error(413)
        # The signature is of the bytes as they came, so they are read before anything is made of them.
        body = self.rfile.read(int(length))
        if not is_signed(self.headers.get("X-Batchd-Signature", ""), body):
            return self.send_error(401)
        key, stage = self.headers.get("Idempotency-Key"), self.path.removeprefix(PATH)
        if not key or not self.path.startswith(PATH) or stage not in stages.NAMES:
            return self.send_error(404)
        call = json.loads(body)
        with contextlib.closing(open_database()) as database:
            self.send_response(200)
            self.send_header("Content-Type", "application/x-ndjson")
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            # An error from here on ends the connection within the answer, and batchd asks again.
            if stage in stages.FOR_EACH:
                for item in call["items"]:
                    self.send_line(answer(database, key, call, item))
            else:
                self.send_line(json.dumps({"output": stages.FOR_ALL[stage](call)}))
            self.wfile.write(b"0\r\n\r\n")

    def send_line(self, line):
        content = line.encode() + b"\n"
        self.wfile.write(b"%x\r\n%s\r\n" % (len(content), content))

    def log_request(self, code="-", size="-"):
        """Six lines for each batch would be too many."""


class Server(ThreadingHTTPServer):
    # Of connections that wait to be accepted; the default of 5 is nothing beside a few workers.
    request_queue_size = 128
    daemon_threads = True


DATABASE.parent.mkdir(parents=True, exist_ok=True)
with contextlib.closing(open_database()) as database:
    database.execute(
        "CREATE TABLE IF NOT EXISTS answers (key TEXT, item TEXT, line TEXT, at REAL, PRIMARY KEY (key, item))"
    )
    database.execute("DELETE FROM answers WHERE at <= ?", (time.time() - MEMORY_SECONDS,))
    database.execute('CREATE TABLE IF NOT EXISTS ledger (batch TEXT, "order" TEXT, cents INTEGER)')
server = Server(("127.0.0.1", PORT), Handler)
print(f"listening on http://127.0.0.1:{PORT}{PATH}STAGE", flush=True)
server.serve_forever()
