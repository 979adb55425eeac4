-- Fence operations, and what stands over all of them. Both are written in one transaction, before anything is done. The same tables
-- and columns as migrations/sqlite/0005_fencing.sql.

-- `body` is the whole operation as JSON, never queried into. `holds_order`: an order may be on the target's disk that is not known to be
-- withdrawn.
CREATE TABLE fence_operations (
    number         BIGINT  NOT NULL PRIMARY KEY CHECK (number >= 1),
    revision       BIGINT  NOT NULL CHECK (revision >= 1),
    epoch          BIGINT  NOT NULL CHECK (epoch >= 1),
    target         TEXT COLLATE "C" NOT NULL REFERENCES nodes (name),
    state          TEXT    NOT NULL
        CHECK (state IN ('proposed', 'denied', 'awaiting_approval', 'approved', 'demoting', 'resolved', 'escalating', 'running_network',
            'running_power', 'verifying_network', 'verifying_power', 'fenced', 'failed', 'unknown', 'quarantined', 'released')),
    holds_order    BOOLEAN NOT NULL,
    proposed_at_us BIGINT  NOT NULL,
    entered_at_us  BIGINT  NOT NULL,
    body           TEXT    NOT NULL,
    updated_us     BIGINT  NOT NULL
);
-- One at a time is open against a node.
CREATE UNIQUE INDEX fence_operations_open ON fence_operations (target) WHERE state NOT IN ('denied', 'released');
CREATE INDEX fence_operations_by_target ON fence_operations (target, number);

-- One row. `epoch` is the newest that a coordinator has taken, `revision` counts writes; 0: none yet, and `body` is empty.
CREATE TABLE fence_standing (
    id         BIGINT  NOT NULL PRIMARY KEY CHECK (id = 1),
    revision   BIGINT  NOT NULL CHECK (revision >= 0),
    epoch      BIGINT  NOT NULL CHECK (epoch >= 0),
    body       TEXT    NOT NULL,
    updated_us BIGINT  NOT NULL,
    CHECK ((revision = 0) = (body = ''))
);
INSERT INTO fence_standing (id, revision, epoch, body, updated_us) VALUES (1, 0, 0, '', 0);
