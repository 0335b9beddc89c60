-- The journal of saves: on record before they are sent, and what became of them. Contents name what they were based on,
-- what the server held before, and what was sent.
CREATE TABLE saves (
  mirror INTEGER NOT NULL REFERENCES mirrors ON DELETE CASCADE,
  id TEXT NOT NULL,
  run TEXT NOT NULL,
  image BLOB NOT NULL,
  set_id BLOB NOT NULL,
  place TEXT NOT NULL,
  at_s REAL NOT NULL,
  base TEXT,
  before TEXT NOT NULL,
  before_digest TEXT NOT NULL,
  body TEXT NOT NULL,
  body_digest TEXT NOT NULL,
  idempotency_key TEXT NOT NULL,
  read_count INTEGER NOT NULL,
  new_count INTEGER NOT NULL,
  previous_count INTEGER,
  outcome TEXT NOT NULL,
  PRIMARY KEY (mirror, id)
) STRICT;

-- History is read from its end.
CREATE INDEX saves_by_time ON saves (mirror, at_s);

-- Documents in which a save of somebody else was overwritten, until a person has seen it.
CREATE TABLE alarms (
  mirror INTEGER NOT NULL REFERENCES mirrors ON DELETE CASCADE,
  image BLOB NOT NULL,
  set_id BLOB NOT NULL,
  PRIMARY KEY (mirror, image, set_id)
) STRICT, WITHOUT ROWID;
