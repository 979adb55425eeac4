-- The fleet's configuration: its generations, and how each was applied. The same tables and columns as
-- migrations/postgres/0003_fleet_configuration.sql.

-- Every text that was to be applied. Rows are only ever added: a generation is what it was. `parent` 0: the first.
CREATE TABLE config_generations (
    number        INTEGER NOT NULL PRIMARY KEY CHECK (number >= 1),
    parent        INTEGER NOT NULL CHECK (parent >= 0 AND parent < number),
    author        TEXT    NOT NULL,
    message       TEXT    NOT NULL,
    text          TEXT    NOT NULL,
    hash          TEXT    NOT NULL CHECK (length(hash) = 64),
    created_at_us INTEGER NOT NULL
) STRICT;
CREATE TRIGGER config_generations_no_update BEFORE UPDATE ON config_generations
BEGIN
    SELECT RAISE(ABORT, 'a generation is never changed');
END;
CREATE TRIGGER config_generations_no_delete BEFORE DELETE ON config_generations
BEGIN
    SELECT RAISE(ABORT, 'a generation is never changed');
END;

-- How far it came. `is_open` is 1 until it is over, so that two can never be under way.
CREATE TABLE config_applies (
    generation        INTEGER NOT NULL PRIMARY KEY REFERENCES config_generations (number),
    state             TEXT    NOT NULL
        CHECK (state IN ('staging', 'committing', 'rolling_back', 'applied', 'rolled_back', 'refused')),
    why               TEXT    NOT NULL,
    confirm_within_us INTEGER NOT NULL CHECK (confirm_within_us >= 1),
    updated_us        INTEGER NOT NULL,
    is_open           INTEGER UNIQUE CHECK (is_open = 1),
    CHECK ((state IN ('staging', 'committing', 'rolling_back')) = (is_open IS NOT NULL))
) STRICT;

-- What each node was asked last: written before it is asked, and again when it has answered.
CREATE TABLE config_steps (
    generation INTEGER NOT NULL REFERENCES config_applies (generation),
    node       TEXT    NOT NULL,
    state      TEXT    NOT NULL
        CHECK (state IN ('waiting', 'unchanged', 'staging', 'staged', 'refused', 'committing', 'committed', 'confirming',
            'confirmed', 'rolling_back', 'rolled_back', 'failed')),
    detail     TEXT    NOT NULL,
    updated_us INTEGER NOT NULL,
    PRIMARY KEY (generation, node)
) STRICT;
