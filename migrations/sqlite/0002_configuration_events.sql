-- A configuration that came to a running agent is an event of its own kind. SQLite cannot change a CHECK: the table is made anew.
CREATE TABLE events_new (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    node        TEXT    NOT NULL,
    journal_id  TEXT    NOT NULL,
    seq         INTEGER NOT NULL CHECK (seq >= 1),
    kind        TEXT    NOT NULL CHECK (kind IN ('transition', 'started', 'stopped', 'lost', 'address', 'configuration')),
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
INSERT INTO events_new (id, node, journal_id, seq, kind, instance, vrid, from_state, to_state, reason, detail, at_us, mono_us, received_us)
    SELECT id, node, journal_id, seq, kind, instance, vrid, from_state, to_state, reason, detail, at_us, mono_us, received_us FROM events;
DROP TABLE events;
ALTER TABLE events_new RENAME TO events;
CREATE INDEX events_by_instance ON events (node, instance, id);
CREATE INDEX events_by_receipt ON events (received_us);
