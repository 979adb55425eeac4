-- A configuration that came to a running agent is an event of its own kind.
ALTER TABLE events DROP CONSTRAINT events_kind_check;
ALTER TABLE events ADD CONSTRAINT events_kind_check
    CHECK (kind IN ('transition', 'started', 'stopped', 'lost', 'address', 'configuration'));
