-- How far the host's measurement list was verified, as JSON; NULL before that.
ALTER TABLE host ADD COLUMN ima TEXT;
