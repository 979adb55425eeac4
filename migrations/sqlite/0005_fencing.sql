-- Fence operations, and what stands over all of them. Both are written in one transaction, before anything is done. The same tables
-- and columns as migrations/postgres/0005_fencing.sql.

-- `body` is the whole operation as JSON, never queried into. `holds_order`: an order may be on the target's disk that is not known to be
-- withdrawn.
CREATE TABLE fence_operations (
    number         INTEGER NOT NULL PRIMARY KEY CHECK (number >= 1),
    revision       INTEGER NOT NULL CHECK (revision >= 1),
    epoch          INTEGER NOT NULL CHECK (epoch >= 1),
    target         TEXT    NOT NULL REFERENCES nodes (name),
    state          TEXT    NOT NULL
        CHECK (state IN ('proposed', 'denied', 'awaiting_approval', 'approved', 'demoting', 'resolved', 'escalating', 'running_network',
            'running_power', 'verifying_network', 'verifying_power', 'fenced', 'failed', 'unknown', 'quarantined', 'released')),
    holds_order    INTEGER NOT NULL CHECK (holds_order IN (0, 1)),
    proposed_at_us INTEGER NOT NULL,
    entered_at_us  INTEGER NOT NULL,
    body           TEXT    NOT NULL,
    updated_us     INTEGER NOT NULL
) STRICT;
-- One at a time is open against a node.
CREATE UNIQUE INDEX fence_operations_open ON fence_operations (target) WHERE state NOT IN ('denied', 'released');
CREATE INDEX fence_operations_by_target ON fence_operations (target, number);

-- One row. `epoch` is the newest that a coordinator has taken, `revision` counts writes; 0: none yet, and `body` is empty.
CREATE TABLE fence_standing (
    id         INTEGER NOT NULL PRIMARY KEY CHECK (id = 1),
    revision   INTEGER NOT NULL CHECK (revision >= 0),
    epoch      INTEGER NOT NULL CHECK (epoch >= 0),
    body       TEXT    NOT NULL,
    updated_us INTEGER NOT NULL,
    CHECK ((revision = 0) = (body = ''))
) STRICT;
INSERT INTO fence_standing (id, revision, epoch, body, updated_us) VALUES (1, 0, 0, '', 0);
