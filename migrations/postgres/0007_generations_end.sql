-- Old generations of the fleet's configuration come to an end, so that their table has a bound. The same rules as in
-- migrations/sqlite/0007_generations_end.sql: a generation is still never changed, and one of the newest hundred, one that
-- is under way and the one that was applied last are never deleted.
DROP TRIGGER config_generations_no_change ON config_generations;
CREATE TRIGGER config_generations_no_change BEFORE UPDATE OR TRUNCATE ON config_generations
    FOR EACH STATEMENT EXECUTE FUNCTION config_generations_are_kept();
CREATE FUNCTION config_generations_new_are_kept() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.number > (SELECT MAX(number) - 100 FROM config_generations) THEN
        RAISE EXCEPTION 'a new generation is never deleted';
    END IF;
    RETURN OLD;
END;
$$;
CREATE TRIGGER config_generations_no_delete BEFORE DELETE ON config_generations
    FOR EACH ROW EXECUTE FUNCTION config_generations_new_are_kept();
-- Each generation has its apply as long as it is there: the foreign key sees to it.
CREATE FUNCTION config_applies_are_kept() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.is_open IS NOT NULL
        OR OLD.generation > (SELECT MAX(number) - 100 FROM config_generations)
        OR OLD.generation = (SELECT MAX(generation) FROM config_applies WHERE state = 'applied')
    THEN
        RAISE EXCEPTION 'this generation is never deleted';
    END IF;
    RETURN OLD;
END;
$$;
CREATE TRIGGER config_applies_no_delete BEFORE DELETE ON config_applies
    FOR EACH ROW EXECUTE FUNCTION config_applies_are_kept();
