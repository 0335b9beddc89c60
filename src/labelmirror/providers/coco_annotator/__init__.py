"""COCO Annotator: datasets of one server's users, with a user's name and password."""
