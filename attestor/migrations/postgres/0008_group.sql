-- The group of hosts that it is in; NULL if in none.
ALTER TABLE host ADD COLUMN host_group TEXT;
