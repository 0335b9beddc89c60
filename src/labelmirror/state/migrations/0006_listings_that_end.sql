-- The number of the listing begun last: `listing` is that of the last one that ended, which is in force until the next one does.
ALTER TABLE mirrors ADD COLUMN begun INTEGER NOT NULL DEFAULT 0;
UPDATE mirrors SET begun = listing;
