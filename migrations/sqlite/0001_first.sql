-- The coordinator's first schema. The same tables and columns as migrations/postgres/0001_first.sql.
--
-- Instants are microseconds since the Unix epoch (`*_us`); enumerations are lower-case text; `evidence` and `body` are
-- JSON that no statement looks into. The kinds of findings and their causes grow with every release and are therefore
-- not listed here: the fleet core is where they are closed.

-- Every node that ever enrolled. A revoked name stays, so that its certificates stay refused.
CREATE TABLE nodes (
    name                     TEXT    NOT NULL PRIMARY KEY,
    site                     TEXT    NOT NULL,
    first_seen_us            INTEGER NOT NULL,
    last_seen_us             INTEGER,
    agent_version            TEXT    NOT NULL,
    certificate_serial       TEXT,
    certificate_not_after_us INTEGER,
    revoked_at_us            INTEGER
) STRICT;

-- The last snapshot of each node, for the first picture after a restart.
CREATE TABLE snapshots (
    node        TEXT    NOT NULL PRIMARY KEY REFERENCES nodes (name),
    received_us INTEGER NOT NULL,
    body        TEXT    NOT NULL
) STRICT;

-- How far each journal is committed.
CREATE TABLE journals (
    node             TEXT    NOT NULL REFERENCES nodes (name),
    journal_id       TEXT    NOT NULL,
    acked_seq        INTEGER NOT NULL CHECK (acked_seq >= 0),
    last_received_us INTEGER NOT NULL,
    PRIMARY KEY (node, journal_id)
) STRICT;

-- Every journalled event, once. `id` is the order of receipt.
CREATE TABLE events (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    node        TEXT    NOT NULL,
    journal_id  TEXT    NOT NULL,
    seq         INTEGER NOT NULL CHECK (seq >= 1),
    kind        TEXT    NOT NULL CHECK (kind IN ('transition', 'started', 'stopped', 'lost', 'address')),
    instance    TEXT,
    vrid        INTEGER CHECK (vrid BETWEEN 0 AND 255),
    from_state  TEXT    CHECK (from_state IN ('init', 'backup', 'master', 'fault')),
    to_state    TEXT    CHECK (to_state IN ('init', 'backup', 'master', 'fault')),
    reason      TEXT    NOT NULL,
    detail      TEXT    NOT NULL,
    at_us       INTEGER NOT NULL,
    mono_us     INTEGER NOT NULL CHECK (mono_us >= 0),
    received_us INTEGER NOT NULL,
    UNIQUE (node, journal_id, seq),
    FOREIGN KEY (node, journal_id) REFERENCES journals (node, journal_id),
    CHECK (kind <> 'transition'
        OR (instance IS NOT NULL AND vrid IS NOT NULL AND from_state IS NOT NULL AND to_state IS NOT NULL))
) STRICT;
CREATE INDEX events_by_instance ON events (node, instance, id);
CREATE INDEX events_by_receipt ON events (received_us);

-- Events that can never be had: the journal dropped them at its bound before they were committed here.
CREATE TABLE event_gaps (
    node        TEXT    NOT NULL,
    journal_id  TEXT    NOT NULL,
    first_seq   INTEGER NOT NULL CHECK (first_seq >= 1),
    last_seq    INTEGER NOT NULL CHECK (last_seq >= first_seq),
    recorded_us INTEGER NOT NULL,
    PRIMARY KEY (node, journal_id, first_seq),
    FOREIGN KEY (node, journal_id) REFERENCES journals (node, journal_id)
) STRICT;

-- Every finding as it was last written. `number` is the `#n` of `id`.
CREATE TABLE findings (
    id             TEXT    NOT NULL PRIMARY KEY,
    kind           TEXT    NOT NULL,
    number         INTEGER NOT NULL CHECK (number >= 1),
    severity       TEXT    NOT NULL CHECK (severity IN ('info', 'warning', 'critical')),
    subject        TEXT    NOT NULL,
    site           TEXT    NOT NULL,
    status         TEXT    NOT NULL CHECK (status IN ('pending', 'firing', 'resolved')),
    since_us       INTEGER NOT NULL,
    resolved_at_us INTEGER,
    summary        TEXT    NOT NULL,
    cause_code     TEXT    NOT NULL,
    cause          TEXT    NOT NULL,
    action         TEXT    NOT NULL,
    evidence       TEXT    NOT NULL,
    updated_us     INTEGER NOT NULL,
    UNIQUE (kind, subject, number),
    CHECK ((status = 'resolved') = (resolved_at_us IS NOT NULL))
) STRICT;
CREATE INDEX findings_by_status ON findings (status, since_us);
CREATE INDEX findings_by_begin ON findings (since_us);

-- Messages to receivers, written together with the finding they tell of.
CREATE TABLE outbox (
    id              INTEGER PRIMARY KEY AUTOINCREMENT,
    finding_id      TEXT    NOT NULL REFERENCES findings (id),
    receiver        TEXT    NOT NULL,
    body            TEXT    NOT NULL,
    created_us      INTEGER NOT NULL,
    status          TEXT    NOT NULL CHECK (status IN ('pending', 'delivered', 'given_up')),
    attempts        INTEGER NOT NULL CHECK (attempts >= 0),
    next_attempt_us INTEGER NOT NULL,
    last_error      TEXT,
    finished_us     INTEGER,
    CHECK ((status = 'pending') = (finished_us IS NULL))
) STRICT;
CREATE INDEX outbox_by_due ON outbox (status, next_attempt_us);
CREATE INDEX outbox_by_finding ON outbox (finding_id);

-- Join tokens. The secret is not here, only its SHA-256.
CREATE TABLE tokens (
    id            TEXT    NOT NULL PRIMARY KEY,
    secret_hash   TEXT    NOT NULL CHECK (length(secret_hash) = 64),
    node          TEXT,
    created_by    TEXT    NOT NULL,
    created_at_us INTEGER NOT NULL,
    expires_at_us INTEGER NOT NULL,
    used_at_us    INTEGER,
    used_by       TEXT,
    CHECK ((used_at_us IS NULL) = (used_by IS NULL))
) STRICT;

-- People and what they may do.
CREATE TABLE users (
    name          TEXT     NOT NULL PRIMARY KEY,
    role          TEXT     NOT NULL CHECK (role IN ('viewer', 'operator', 'admin', 'fence_approver')),
    created_at_us INTEGER  NOT NULL,
    revoked       INTEGER NOT NULL CHECK (revoked IN (0, 1))
) STRICT;

-- What was asked of the coordinator and what it refused. Rows are only ever added: the triggers see to it.
CREATE TABLE audit (
    id      INTEGER PRIMARY KEY AUTOINCREMENT,
    at_us   INTEGER NOT NULL,
    actor   TEXT    NOT NULL,
    action  TEXT    NOT NULL,
    subject TEXT    NOT NULL,
    outcome TEXT    NOT NULL CHECK (outcome IN ('done', 'refused')),
    detail  TEXT    NOT NULL
) STRICT;
CREATE INDEX audit_by_time ON audit (at_us);
CREATE TRIGGER audit_no_update BEFORE UPDATE ON audit
BEGIN
    SELECT RAISE(ABORT, 'the audit log is append-only');
END;
CREATE TRIGGER audit_no_delete BEFORE DELETE ON audit
BEGIN
    SELECT RAISE(ABORT, 'the audit log is append-only');
END;
