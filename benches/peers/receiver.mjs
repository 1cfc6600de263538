// GitHub's own middleware verifies and parses; better-sqlite3 counts. Its transactions are synchronous, so each
// delivery is a commit of its own.
import { createServer } from "node:http";
import { createNodeMiddleware, Webhooks } from "@octokit/webhooks";
import Database from "better-sqlite3";

const file = new Database(process.env.LEDGER);
file.pragma("journal_mode = WAL");
file.pragma("synchronous = FULL");
file.exec(`
  CREATE TABLE contributions (
    id TEXT PRIMARY KEY, login TEXT NOT NULL, title TEXT NOT NULL, url TEXT NOT NULL, at TEXT NOT NULL
  ) WITHOUT ROWID;
  CREATE TABLE contributors (login TEXT PRIMARY KEY, tally INTEGER NOT NULL) WITHOUT ROWID;
`);
const insert = file.prepare("INSERT OR IGNORE INTO contributions VALUES (?, ?, ?, ?, ?)");
const tally = file.prepare(`
  INSERT INTO contributors VALUES (?, ?) ON CONFLICT DO UPDATE SET tally = tally + excluded.tally
`);
const count = file.transaction(({ pull_request: made, repository }) => {
  const id = `github:${repository.id}:pull_request:${made.number}:${made.user.login}`;
  const { changes } = insert.run(id, made.user.login, made.title, made.html_url, made.created_at);
  tally.run(made.user.login, changes);
});

const webhooks = new Webhooks({ secret: process.env.SECRET });
webhooks.on("pull_request.opened", ({ payload }) => count(payload));
const server = createServer(createNodeMiddleware(webhooks, { path: "/webhooks/github" }));
server.listen(0, "127.0.0.1", () => console.log(`listens on http://127.0.0.1:${server.address().port}`));
