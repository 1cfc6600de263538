-- The tables of a new file. Every time is in microseconds since 1970. An older file gets the same from the steps in
-- schema.rs: what changes here changes by a step there too.

-- Whoever a contribution counts for. The number is in the order in which they came: who is busy now stands together.
CREATE TABLE contributors (
    number INTEGER PRIMARY KEY,
    id TEXT NOT NULL,
    tally INTEGER NOT NULL,
    recognized INTEGER NOT NULL,        -- the highest milestone
    user_id INTEGER,                    -- the host's number for the account
    account_url TEXT,
    first_at INTEGER NOT NULL,
    last_at INTEGER NOT NULL,
    named_at INTEGER,                   -- when the host has last stated user_id; NULL where only addresses did
    host TEXT NOT NULL DEFAULT '',      -- what is before the id's last ':'
    login TEXT NOT NULL DEFAULT ''      -- after it; of 7+mona, mona
);
CREATE UNIQUE INDEX contributors_by_id ON contributors (id);
CREATE INDEX contributors_by_user_id ON contributors (user_id) WHERE user_id IS NOT NULL;
-- The only one that a tally moves. The leaderboard of all hosts merges those of each.
CREATE INDEX contributors_by_host_and_tally ON contributors (host, tally, id);
CREATE INDEX contributors_by_host_and_login ON contributors (host, login, id);
CREATE INDEX contributors_by_login ON contributors (login, id);

-- An id is in contributors or in accounts, and no number is in both.
CREATE TABLE accounts (                 -- names that are no contributor's present one, or have no contribution yet
    number INTEGER PRIMARY KEY,
    id TEXT NOT NULL,
    contributor INTEGER NOT NULL,       -- the number of whom it counts for; its own while it has no contribution
    former INTEGER,                     -- of a former name: the number of its account, here or in contributors
    user_id INTEGER,                    -- as in contributors
    named_at INTEGER,                   -- as in contributors; of a former name, its own newest statement
    account_url TEXT,
    recognized INTEGER NOT NULL DEFAULT 0
);
CREATE UNIQUE INDEX accounts_by_id ON accounts (id);
CREATE INDEX accounts_by_contributor ON accounts (contributor);
CREATE INDEX accounts_by_user_id ON accounts (user_id) WHERE user_id IS NOT NULL;

CREATE TABLE holders (                  -- of a login that several accounts have had
    name TEXT PRIMARY KEY,
    account INTEGER NOT NULL,           -- that which has stated it last
    named_at INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE addresses (                -- more numbers of an account that only addresses of commits state
    user_id INTEGER NOT NULL,
    account INTEGER NOT NULL,
    PRIMARY KEY (user_id, account)
) WITHOUT ROWID;

CREATE TABLE repositories (
    number INTEGER PRIMARY KEY,
    name TEXT NOT NULL                  -- as payloads have it; on two hosts it may be the same
);
CREATE UNIQUE INDEX repositories_by_name ON repositories (name);

CREATE TABLE contributions (
    seq INTEGER PRIMARY KEY,
    id TEXT NOT NULL,
    contributor INTEGER NOT NULL,       -- a number of contributors
    kind NOT NULL,                      -- 1 push, 2 pull_request, 3 issue; else a client's word
    occurred_at INTEGER NOT NULL,
    recorded_at INTEGER NOT NULL,
    title TEXT,
    url TEXT,
    repository INTEGER,                 -- a number of repositories
    private INTEGER NOT NULL,
    user_id INTEGER,
    content BLOB,                       -- fingerprint of what a client posted; NULL for a host's
    labels_at INTEGER,
    labels_rejected INTEGER,
    landed_at INTEGER,
    retracted INTEGER NOT NULL DEFAULT 0,
    account INTEGER                     -- the account under which it arrived, where that is not its contributor's own
);
CREATE UNIQUE INDEX contributions_by_id ON contributions (id);
-- With what hides a row, so that a list looks at no hidden ones; and the kind last, so that those of other kinds are
-- passed over within the index.
CREATE INDEX contributions_by_contributor
    ON contributions (contributor, private, retracted, recorded_at, seq, kind);
CREATE INDEX contributions_by_repository
    ON contributions (repository, private, retracted, recorded_at, seq, kind) WHERE repository IS NOT NULL;
CREATE INDEX contributions_by_account ON contributions (account) WHERE account IS NOT NULL;

-- For people.
CREATE VIEW readable_contributions AS
    SELECT c.seq, c.id, p.id AS contributor,
        CASE c.kind WHEN 1 THEN 'push' WHEN 2 THEN 'pull_request' WHEN 3 THEN 'issue' ELSE c.kind END AS kind,
        datetime(c.occurred_at / 1000000, 'unixepoch') AS occurred_at,
        datetime(c.recorded_at / 1000000, 'unixepoch') AS recorded_at,
        c.title, c.url, r.name AS repository, c.private, c.retracted
    FROM contributions c JOIN contributors p ON p.number = c.contributor
        LEFT JOIN repositories r ON r.number = c.repository;

CREATE TABLE reviews (                  -- only of works, or parts, that a review ruled on
    work TEXT PRIMARY KEY,
    deleted INTEGER NOT NULL,
    private INTEGER NOT NULL,
    labels_at INTEGER,
    labels_rejected INTEGER
) WITHOUT ROWID;

CREATE TABLE private_repositories (     -- a repository may be private, public and private again
    id TEXT PRIMARY KEY,                -- what the ids of its contributions begin with, without the ':'
    since INTEGER,                      -- what its host states up to this time is private
    private_at INTEGER,                 -- the newest payloads, by their own time, that say that it is private, or
    public_at INTEGER,                  -- became public; if the second is newer, only what is up to `since` is private
    look_again INTEGER                  -- when public contributions of it may be left; NULL once that is certain
) WITHOUT ROWID;

CREATE TABLE recognitions (
    seq INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    contributor TEXT NOT NULL,
    milestone INTEGER NOT NULL,
    tally INTEGER NOT NULL,
    recognized_at INTEGER NOT NULL,
    contribution TEXT,
    account_url TEXT
);
CREATE INDEX recognitions_by_time ON recognitions (recognized_at);
CREATE INDEX recognitions_by_contributor ON recognitions (contributor, recognized_at);

CREATE TABLE outbox (
    recognition TEXT NOT NULL,
    destination TEXT NOT NULL,
    state TEXT NOT NULL,                -- waiting, done, given_up
    next_try INTEGER NOT NULL,
    tries INTEGER NOT NULL DEFAULT 0,
    reason TEXT,
    PRIMARY KEY (recognition, destination)
) WITHOUT ROWID;
CREATE INDEX outbox_due ON outbox (destination, next_try) WHERE state = 'waiting';

CREATE TABLE forgotten (                -- keyed hashes of the names and numbers of people who are erased
    pseudonym BLOB PRIMARY KEY
) WITHOUT ROWID;

CREATE TABLE sequences (                -- the last number that was given, where its row may be erased
    name TEXT PRIMARY KEY,
    last INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE bookmarks (                -- where a long read of a host goes on
    name TEXT PRIMARY KEY,
    value TEXT NOT NULL
) WITHOUT ROWID;
