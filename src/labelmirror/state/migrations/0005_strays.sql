-- Files that belong to no record are looked for when somebody asks, and not kept on record.
DROP TABLE strays;
