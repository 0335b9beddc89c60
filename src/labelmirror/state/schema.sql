-- Strings that come from a server or a disk (ids, names) may hold lone surrogates, which SQLite's TEXT cannot: they are
-- BLOB in UTF-8 with surrogates passed, which sorts by code point as Python does. Times are wall-clock seconds, unless a
-- name ends in _ns. All rows of a mirror go with it.

-- A mirror by name; `listing` numbers its listing in force, `begun` the one begun last, `facts` are MirrorFacts in JSON.
CREATE TABLE mirrors (
  id INTEGER PRIMARY KEY,
  name TEXT NOT NULL UNIQUE,
  listing INTEGER NOT NULL DEFAULT 0,
  facts TEXT NOT NULL,
  begun INTEGER NOT NULL DEFAULT 0
) STRICT;

-- What a provider remembers from run to run, in JSON.
CREATE TABLE memory (
  mirror INTEGER NOT NULL REFERENCES mirrors ON DELETE CASCADE,
  name TEXT NOT NULL,
  value TEXT NOT NULL,
  PRIMARY KEY (mirror, name)
) STRICT, WITHOUT ROWID;

-- Rows of listings as the server showed them last, `origin` being directory and name, `rest` what nobody searches, in JSON.
-- These rows are long: as a table in the order of their coming they are written once, and only their index is sorted.
CREATE TABLE listings (
  mirror INTEGER NOT NULL REFERENCES mirrors ON DELETE CASCADE,
  image BLOB NOT NULL,
  fold TEXT NOT NULL,
  origin TEXT NOT NULL,
  status BLOB,
  rest TEXT NOT NULL,
  PRIMARY KEY (mirror, image)
) STRICT;

-- Images that need a place are gone over by folded path.
CREATE INDEX listings_by_fold ON listings (mirror, fold, image);

-- The number of the last listing that showed an image: apart from the row, so that an unchanged listing writes little.
CREATE TABLE listed (
  mirror INTEGER NOT NULL REFERENCES mirrors ON DELETE CASCADE,
  image BLOB NOT NULL,
  listing INTEGER NOT NULL,
  PRIMARY KEY (mirror, image)
) STRICT, WITHOUT ROWID;

-- The documents of a listing's rows.
CREATE TABLE listed_documents (
  mirror INTEGER NOT NULL REFERENCES mirrors ON DELETE CASCADE,
  image BLOB NOT NULL,
  set_id BLOB NOT NULL,
  token BLOB,
  empty INTEGER NOT NULL,
  PRIMARY KEY (mirror, image, set_id)
) STRICT, WITHOUT ROWID;

-- Images on record, with their places and files; the next ones are where its files are on their way to.
CREATE TABLE images (
  mirror INTEGER NOT NULL REFERENCES mirrors ON DELETE CASCADE,
  image BLOB NOT NULL,
  origin TEXT NOT NULL,
  place TEXT NOT NULL,
  fold TEXT NOT NULL,
  size_bytes INTEGER,
  sha256 TEXT,
  stat_size_bytes INTEGER,
  mtime_ns INTEGER,
  ctime_ns INTEGER,
  inode INTEGER,
  condition TEXT NOT NULL,
  next_origin TEXT,
  next_place TEXT,
  PRIMARY KEY (mirror, image)
) STRICT, WITHOUT ROWID;

-- Whether a place is taken is asked by its folded path.
CREATE INDEX images_by_fold ON images (mirror, fold);

-- Whether a file is known is asked by its place.
CREATE INDEX images_by_place ON images (mirror, place);

-- Moves that were begun are few.
CREATE INDEX images_moving ON images (mirror, image) WHERE next_place IS NOT NULL;

-- Base and local side of documents; a row has at least one of the two.
CREATE TABLE documents (
  mirror INTEGER NOT NULL REFERENCES mirrors ON DELETE CASCADE,
  image BLOB NOT NULL,
  set_id BLOB NOT NULL,
  base_digest TEXT,
  base_content TEXT,
  base_counts TEXT,
  base_token BLOB,
  base_checked_at_s REAL,
  local_size_bytes INTEGER,
  local_mtime_ns INTEGER,
  local_ctime_ns INTEGER,
  local_inode INTEGER,
  local_digest TEXT,
  local_counts TEXT,
  local_problem BLOB,
  PRIMARY KEY (mirror, image, set_id)
) STRICT, WITHOUT ROWID;

-- Documents read since their base was recorded.
CREATE TABLE readings (
  mirror INTEGER NOT NULL REFERENCES mirrors ON DELETE CASCADE,
  image BLOB NOT NULL,
  set_id BLOB NOT NULL,
  digest TEXT NOT NULL,
  content TEXT NOT NULL,
  counts TEXT NOT NULL,
  token BLOB,
  at_s REAL NOT NULL,
  PRIMARY KEY (mirror, image, set_id)
) STRICT, WITHOUT ROWID;

-- Documents' bytes, compressed by zlib, named by their SHA-256 and shared by all mirrors.
CREATE TABLE contents (
  id TEXT PRIMARY KEY,
  data BLOB NOT NULL
) STRICT;

-- What the newest run left undone, in its order, in JSON.
CREATE TABLE troubles (
  mirror INTEGER NOT NULL REFERENCES mirrors ON DELETE CASCADE,
  position INTEGER NOT NULL,
  item TEXT NOT NULL,
  PRIMARY KEY (mirror, position)
) STRICT, WITHOUT ROWID;

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

-- Saves whose end is not known are few among all that there ever were, and every push asks for them.
CREATE INDEX saves_open ON saves (mirror, at_s) WHERE outcome = 'open';

-- Documents in which a save of somebody else was overwritten, until a person has seen it.
CREATE TABLE alarms (
  mirror INTEGER NOT NULL REFERENCES mirrors ON DELETE CASCADE,
  image BLOB NOT NULL,
  set_id BLOB NOT NULL,
  PRIMARY KEY (mirror, image, set_id)
) STRICT, WITHOUT ROWID;

-- The folders of annotation sets below annotations/; `folder` is given once and kept.
CREATE TABLE sets (
  mirror INTEGER NOT NULL REFERENCES mirrors ON DELETE CASCADE,
  set_id BLOB NOT NULL,
  name BLOB NOT NULL,
  folder TEXT NOT NULL,
  PRIMARY KEY (mirror, set_id)
) STRICT, WITHOUT ROWID;
