-- The folders of annotation sets below annotations/; `folder` is given once and kept.
CREATE TABLE sets (
  mirror INTEGER NOT NULL REFERENCES mirrors ON DELETE CASCADE,
  set_id BLOB NOT NULL,
  name BLOB NOT NULL,
  folder TEXT NOT NULL,
  PRIMARY KEY (mirror, set_id)
) STRICT, WITHOUT ROWID;
