-- Saves whose end is not known are few among all that there ever were, and every push asks for them.
CREATE INDEX saves_open ON saves (mirror, at_s) WHERE outcome = 'open';
