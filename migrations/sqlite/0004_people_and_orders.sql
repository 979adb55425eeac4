-- How people prove who they are, and what nodes were told to do over their configuration.

-- Of a token only the SHA-256 of its secret is here; of a certificate only its serial number, which is its id.
CREATE TABLE credentials (
    id            TEXT    NOT NULL PRIMARY KEY,
    user_name     TEXT    NOT NULL REFERENCES users (name),
    kind          TEXT    NOT NULL CHECK (kind IN ('token', 'certificate')),
    secret_hash   TEXT    CHECK (length(secret_hash) = 64),
    created_by    TEXT    NOT NULL,
    created_at_us INTEGER NOT NULL,
    expires_at_us INTEGER NOT NULL,
    CHECK ((kind = 'token') = (secret_hash IS NOT NULL))
) STRICT;
CREATE INDEX credentials_by_user ON credentials (user_name, created_at_us);

-- A switchover or a maintenance, written before its node is told. `asked`: the node has not answered yet; `standing`: it has done it;
-- `withdrawing`: it is to forget it and has not said so yet; `over`. `until_us` is by the coordinator's clock.
CREATE TABLE orders (
    number        INTEGER PRIMARY KEY AUTOINCREMENT,
    kind          TEXT    NOT NULL CHECK (kind IN ('switchover', 'maintenance')),
    node          TEXT    NOT NULL REFERENCES nodes (name),
    subject       TEXT    NOT NULL,
    instances     TEXT    NOT NULL,
    priority      INTEGER CHECK (priority BETWEEN 1 AND 254),
    from_node     TEXT,
    until_us      INTEGER,
    given_by      TEXT    NOT NULL,
    why           TEXT    NOT NULL,
    state         TEXT    NOT NULL CHECK (state IN ('asked', 'standing', 'withdrawing', 'over')),
    detail        TEXT    NOT NULL,
    created_at_us INTEGER NOT NULL,
    updated_us    INTEGER NOT NULL,
    CHECK ((kind = 'switchover') = (priority IS NOT NULL))
) STRICT;
CREATE INDEX orders_by_state ON orders (state, number);
-- One at a time is under way for each group and each node.
CREATE UNIQUE INDEX orders_asked ON orders (kind, subject) WHERE state = 'asked';
