-- Old generations of the fleet's configuration come to an end, so that their table has a bound. The same rules as in
-- migrations/postgres/0007_generations_end.sql: a generation is still never changed, and one of the newest hundred, one that
-- is under way and the one that was applied last are never deleted.
DROP TRIGGER config_generations_no_delete;
CREATE TRIGGER config_generations_no_delete BEFORE DELETE ON config_generations
    WHEN OLD.number > (SELECT MAX(number) - 100 FROM config_generations)
BEGIN
    SELECT RAISE(ABORT, 'a new generation is never deleted');
END;
-- Each generation has its apply as long as it is there: the foreign key sees to it.
CREATE TRIGGER config_applies_no_delete BEFORE DELETE ON config_applies
    WHEN OLD.is_open IS NOT NULL
        OR OLD.generation > (SELECT MAX(number) - 100 FROM config_generations)
        OR OLD.generation = (SELECT MAX(generation) FROM config_applies WHERE state = 'applied')
BEGIN
    SELECT RAISE(ABORT, 'this generation is never deleted');
END;
