-- Every statement of the store. The line above each names it and says what it does; `statements.py` reads them.
-- Strings from outside are BLOB, see schema.sql. :listing is the number of the listing in force; what one that is under way,
-- or was cut off, has shown since has a higher one, and counts as listed too.

-- mirror_ids: All mirrors by name.
SELECT name, id FROM mirrors ORDER BY name;

-- add_mirror: Begin a mirror, unless there is one of this name.
INSERT INTO mirrors (name, facts) VALUES (?, ?) ON CONFLICT DO NOTHING;

-- facts: The facts of a mirror.
SELECT facts FROM mirrors WHERE id = ?;

-- set_facts: Replace the facts of a mirror.
UPDATE mirrors SET facts = ?2 WHERE id = ?1;

-- remembered: What was put under a name.
SELECT value FROM memory WHERE mirror = ? AND name = ?;

-- remember: Put a value under a name.
INSERT INTO memory (mirror, name, value) VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET value = excluded.value;

-- forget_remembered: Forget what was put under a name.
DELETE FROM memory WHERE mirror = ? AND name = ?;

-- begin_listing: Give the next listing its number. The one in force stays so.
UPDATE mirrors SET begun = begun + 1 WHERE id = ?;

-- end_listing: The listing begun last is in force, which unlists every row that it did not show.
UPDATE mirrors SET listing = begun WHERE id = ?;

-- listing: The number of the listing in force.
SELECT listing FROM mirrors WHERE id = ?;

-- begun: The number of the listing begun last.
SELECT begun FROM mirrors WHERE id = ?;

-- mark_listed: The listing begun last shows this image.
INSERT INTO listed (mirror, image, listing) VALUES (?, ?, ?)
ON CONFLICT DO UPDATE SET listing = excluded.listing WHERE listing <> excluded.listing;

-- put_listing: Put a row on record; returns a row only if it was not there like this before.
INSERT INTO listings (mirror, image, fold, origin, status, rest) VALUES (?, ?, ?, ?, ?, ?)
ON CONFLICT DO UPDATE SET fold = excluded.fold, origin = excluded.origin, status = excluded.status, rest = excluded.rest
WHERE (fold, origin, status, rest) IS NOT (excluded.fold, excluded.origin, excluded.status, excluded.rest)
RETURNING 1;

-- drop_listed_documents: A changed row shows its documents anew.
DELETE FROM listed_documents WHERE mirror = ? AND image = ?;

-- put_listed_document: A document that a row shows.
INSERT INTO listed_documents (mirror, image, set_id, token, empty) VALUES (?, ?, ?, ?, ?)
ON CONFLICT DO UPDATE SET token = excluded.token, empty = excluded.empty;

-- listed_count: How many images a listing shows.
SELECT count(*) FROM listed WHERE mirror = ? AND listing = ?;

-- listed_image: One listed row.
SELECT s.image, s.origin, s.status, s.rest FROM listings s JOIN listed l ON l.mirror = s.mirror AND l.image = s.image
WHERE s.mirror = ? AND s.image = ? AND l.listing >= ?;

-- put_reading: The newest reading of a document.
INSERT INTO readings (mirror, image, set_id, digest, content, counts, token, at_s) VALUES (?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT DO UPDATE SET digest = excluded.digest, content = excluded.content, counts = excluded.counts,
  token = excluded.token, at_s = excluded.at_s;

-- drop_reading: Forget the reading of a document.
DELETE FROM readings WHERE mirror = ? AND image = ? AND set_id = ?;

-- has_content: Whether a content is stored.
SELECT 1 FROM contents WHERE id = ?;

-- put_content: Store a content.
INSERT INTO contents (id, data) VALUES (?, ?) ON CONFLICT DO NOTHING;

-- content: A stored content, compressed.
SELECT data FROM contents WHERE id = ?;

-- unlisted: Images on record that are not listed.
SELECT i.image FROM images i
WHERE i.mirror = :mirror AND NOT EXISTS (
  SELECT 1 FROM listed l WHERE l.mirror = i.mirror AND l.image = i.image AND l.listing >= :listing)
ORDER BY i.image;

-- image_rows: The next images that are on record or listed.
WITH ids AS (
  SELECT image FROM images WHERE mirror = :mirror AND image > :after
  UNION
  SELECT image FROM listed WHERE mirror = :mirror AND image > :after AND listing >= :listing
  ORDER BY image LIMIT :limit)
SELECT ids.image, i.origin, i.place, i.size_bytes, i.sha256, i.stat_size_bytes, i.mtime_ns, i.ctime_ns, i.inode, i.condition,
  s.image IS NOT NULL, s.status, json_extract(s.rest, '$[0]')
FROM ids
LEFT JOIN images i ON i.mirror = :mirror AND i.image = ids.image
LEFT JOIN listed l ON l.mirror = :mirror AND l.image = ids.image AND l.listing >= :listing
LEFT JOIN listings s ON s.mirror = l.mirror AND s.image = l.image
ORDER BY ids.image;

-- keys_in_order: The next documents of images with a place that have a base, a local file, or a place in the listing.
SELECT d.image, d.set_id FROM documents d JOIN images i ON i.mirror = d.mirror AND i.image = d.image
WHERE d.mirror = :mirror AND (d.image, d.set_id) > (:image, :set_id)
UNION
SELECT t.image, t.set_id FROM listed_documents t
JOIN listed l ON l.mirror = t.mirror AND l.image = t.image AND l.listing >= :listing
JOIN images i ON i.mirror = t.mirror AND i.image = t.image
WHERE t.mirror = :mirror AND (t.image, t.set_id) > (:image, :set_id)
ORDER BY 1, 2 LIMIT :limit;

-- keys_unrecorded: The next documents of images with a place that have a reading.
SELECT r.image, r.set_id FROM readings r JOIN images i ON i.mirror = r.mirror AND i.image = r.image
WHERE r.mirror = :mirror AND (r.image, r.set_id) > (:image, :set_id)
ORDER BY 1, 2 LIMIT :limit;

-- keys_of_image: The documents of one image.
SELECT image, set_id FROM documents WHERE mirror = :mirror AND image = :image
UNION
SELECT t.image, t.set_id FROM listed_documents t
JOIN listed l ON l.mirror = t.mirror AND l.image = t.image AND l.listing >= :listing
WHERE t.mirror = :mirror AND t.image = :image;

-- sides: The three sides of the documents in `keys`, which goes before as one of the queries above.
SELECT keys.image, keys.set_id, i.place,
  d.base_digest, d.base_content, d.base_counts, d.base_token, d.base_checked_at_s,
  d.local_size_bytes, d.local_mtime_ns, d.local_ctime_ns, d.local_inode, d.local_digest, d.local_counts, d.local_problem,
  t.empty, t.token, r.digest, r.content, r.counts, r.token, r.at_s, s.status
FROM keys
JOIN images i ON i.mirror = :mirror AND i.image = keys.image
LEFT JOIN documents d ON d.mirror = :mirror AND d.image = keys.image AND d.set_id = keys.set_id
LEFT JOIN listed l ON l.mirror = :mirror AND l.image = keys.image AND l.listing >= :listing
LEFT JOIN listed_documents t ON t.mirror = l.mirror AND t.image = l.image AND t.set_id = keys.set_id
LEFT JOIN readings r ON r.mirror = :mirror AND r.image = keys.image AND r.set_id = keys.set_id
LEFT JOIN listings s ON s.mirror = l.mirror AND s.image = l.image
ORDER BY keys.image, keys.set_id;

-- unplaced: The next listed images without a place or with a new name, by folded path. They are few: CROSS JOIN asks last.
SELECT s.fold, s.image, s.origin, s.status, s.rest,
  i.origin, i.place, i.size_bytes, i.sha256, i.stat_size_bytes, i.mtime_ns, i.ctime_ns, i.inode, i.condition,
  EXISTS (SELECT 1 FROM images o WHERE o.mirror = s.mirror AND o.fold = s.fold AND o.image <> s.image)
FROM listings s
LEFT JOIN images i ON i.mirror = s.mirror AND i.image = s.image
CROSS JOIN listed l ON l.mirror = s.mirror AND l.image = s.image AND l.listing >= :listing
WHERE s.mirror = :mirror AND (s.fold, s.image) > (:fold, :image) AND s.fold <= :last
  AND (i.image IS NULL OR i.origin <> s.origin)
ORDER BY s.fold, s.image LIMIT :limit;

-- begin_move: Note where the files of an image are about to go.
UPDATE images SET next_origin = ?3, next_place = ?4 WHERE mirror = ?1 AND image = ?2;

-- end_move: The files of an image are where its record says.
UPDATE images SET next_origin = NULL, next_place = NULL WHERE mirror = ? AND image = ?;

-- moving: Images whose files were on their way, with where they were going.
SELECT image, origin, place, size_bytes, sha256, stat_size_bytes, mtime_ns, ctime_ns, inode, condition, next_origin, next_place
FROM images WHERE mirror = ? AND next_place IS NOT NULL ORDER BY image;

-- occupied: Whether a folded path is that of a recorded file, and of a folder of one; "0" is the character after "/".
SELECT EXISTS (SELECT 1 FROM images WHERE mirror = ?1 AND fold = ?2),
  EXISTS (SELECT 1 FROM images WHERE mirror = ?1 AND fold > ?2 || '/' AND fold < ?2 || '0');

-- sets: The annotation sets on record.
SELECT set_id, name, folder FROM sets WHERE mirror = ? ORDER BY set_id;

-- put_set: Give an annotation set its folder, unless it has one.
INSERT INTO sets (mirror, set_id, name, folder) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING;

-- drop_unused_sets: Forget annotation sets of which there is no document.
DELETE FROM sets WHERE mirror = :mirror
  AND NOT EXISTS (SELECT 1 FROM documents d WHERE d.mirror = sets.mirror AND d.set_id = sets.set_id)
  AND NOT EXISTS (SELECT 1 FROM listed_documents t WHERE t.mirror = sets.mirror AND t.set_id = sets.set_id);

-- is_place: Whether a place is a recorded one.
SELECT 1 FROM images WHERE mirror = ? AND place = ?;

-- put_image: Put an image on record.
INSERT INTO images (mirror, image, origin, place, fold, size_bytes, sha256, stat_size_bytes, mtime_ns, ctime_ns, inode, condition)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT DO UPDATE SET origin = excluded.origin, place = excluded.place, fold = excluded.fold,
  size_bytes = excluded.size_bytes, sha256 = excluded.sha256, stat_size_bytes = excluded.stat_size_bytes,
  mtime_ns = excluded.mtime_ns, ctime_ns = excluded.ctime_ns, inode = excluded.inode, condition = excluded.condition;

-- put_document: Record base and local side of a document.
INSERT INTO documents (mirror, image, set_id, base_digest, base_content, base_counts, base_token, base_checked_at_s,
  local_size_bytes, local_mtime_ns, local_ctime_ns, local_inode, local_digest, local_counts, local_problem)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT DO UPDATE SET base_digest = excluded.base_digest, base_content = excluded.base_content,
  base_counts = excluded.base_counts, base_token = excluded.base_token, base_checked_at_s = excluded.base_checked_at_s,
  local_size_bytes = excluded.local_size_bytes, local_mtime_ns = excluded.local_mtime_ns,
  local_ctime_ns = excluded.local_ctime_ns, local_inode = excluded.local_inode, local_digest = excluded.local_digest,
  local_counts = excluded.local_counts, local_problem = excluded.local_problem;

-- put_local: Record the local side of a document.
INSERT INTO documents (mirror, image, set_id,
  local_size_bytes, local_mtime_ns, local_ctime_ns, local_inode, local_digest, local_counts, local_problem)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT DO UPDATE SET local_size_bytes = excluded.local_size_bytes, local_mtime_ns = excluded.local_mtime_ns,
  local_ctime_ns = excluded.local_ctime_ns, local_inode = excluded.local_inode, local_digest = excluded.local_digest,
  local_counts = excluded.local_counts, local_problem = excluded.local_problem;

-- clear_local: A document's file is missing.
UPDATE documents SET local_size_bytes = NULL, local_mtime_ns = NULL, local_ctime_ns = NULL, local_inode = NULL,
  local_digest = NULL, local_counts = NULL, local_problem = NULL
WHERE mirror = ? AND image = ? AND set_id = ?;

-- drop_sideless: A document with neither base nor local file is not on record.
DELETE FROM documents WHERE mirror = ? AND image = ? AND set_id = ? AND base_digest IS NULL AND local_size_bytes IS NULL;

-- put_checked: Base was seen on the server under this token.
UPDATE documents SET base_token = ?4, base_checked_at_s = ?5
WHERE mirror = ?1 AND image = ?2 AND set_id = ?3 AND base_digest IS NOT NULL;

-- forget_document: Forget base and local side of a document.
DELETE FROM documents WHERE mirror = ? AND image = ? AND set_id = ?;

-- forget_image: Forget an image.
DELETE FROM images WHERE mirror = ? AND image = ?;

-- forget_documents_of: Forget the documents of an image.
DELETE FROM documents WHERE mirror = ? AND image = ?;

-- drop_readings_of: Forget the readings of an image.
DELETE FROM readings WHERE mirror = ? AND image = ?;

-- clear_troubles: Forget what was left undone.
DELETE FROM troubles WHERE mirror = ?;

-- put_trouble: Something left undone.
INSERT INTO troubles (mirror, position, item) VALUES (?, ?, ?);

-- troubles: What was left undone.
SELECT item FROM troubles WHERE mirror = ? ORDER BY position;

-- drop_old_listed_documents: Forget documents of rows that are not listed any more.
DELETE FROM listed_documents WHERE mirror = :mirror AND image IN (
  SELECT image FROM listed WHERE mirror = :mirror AND listing < :listing);

-- drop_old_listings: Forget rows that are not listed any more.
DELETE FROM listings WHERE mirror = :mirror AND image IN (
  SELECT image FROM listed WHERE mirror = :mirror AND listing < :listing);

-- drop_old_listed: Forget when they were last shown.
DELETE FROM listed WHERE mirror = :mirror AND listing < :listing;

-- drop_unused_contents: Forget contents to which no mirror refers.
DELETE FROM contents WHERE id IN (
  SELECT id FROM contents EXCEPT SELECT id FROM (
    SELECT base_content AS id FROM documents UNION ALL SELECT content FROM readings
    UNION ALL SELECT base FROM saves UNION ALL SELECT before FROM saves UNION ALL SELECT body FROM saves));

-- open_save: Put a save on record before it is sent.
INSERT INTO saves (
  mirror, id, run, image, set_id, place, at_s, base, before, before_digest, body, body_digest, idempotency_key, read_count,
  new_count, previous_count, outcome
) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?);

-- close_save: Say how a save ended.
UPDATE saves SET outcome = ?3, previous_count = ?4 WHERE mirror = ?1 AND id = ?2;

-- saves: Saves since a time, the newest first.
SELECT
  id, run, image, set_id, place, at_s, base, before, before_digest, body, body_digest, idempotency_key, read_count, new_count,
  previous_count, outcome
FROM saves WHERE mirror = ? AND at_s >= ? ORDER BY at_s DESC, rowid DESC;

-- saves_left_open: Saves whose end is not known, the newest first.
SELECT
  id, run, image, set_id, place, at_s, base, before, before_digest, body, body_digest, idempotency_key, read_count, new_count,
  previous_count, outcome
FROM saves WHERE mirror = ? AND outcome = 'open' ORDER BY at_s DESC, rowid DESC;

-- set_alarm: A save of somebody else was overwritten in this document.
INSERT INTO alarms (mirror, image, set_id) VALUES (?, ?, ?) ON CONFLICT DO NOTHING;

-- clear_alarm: A person has seen it.
DELETE FROM alarms WHERE mirror = ? AND image = ? AND set_id = ?;

-- alarms: Documents whose alarm nobody has cleared.
SELECT image, set_id FROM alarms WHERE mirror = ?;

-- forget_future_readings: Readings from the future were made under a wrong clock.
UPDATE readings SET at_s = 0 WHERE mirror = ?1 AND at_s > ?2;

-- forget_future_checks: The same for bases.
UPDATE documents SET base_checked_at_s = 0 WHERE mirror = ?1 AND base_checked_at_s > ?2;
