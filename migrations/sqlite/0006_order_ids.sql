-- The order that a demoted agent keeps has an id that no other database, and no other life of this one, gives again: after a
-- backup was restored numbers of operations are given once more. The same columns as migrations/postgres/0006_order_ids.sql.

-- Chosen when the operation is first written, never changed. Empty: of an earlier release, the order is `fence/<number>`.
ALTER TABLE fence_operations ADD COLUMN order_id TEXT NOT NULL DEFAULT '';
