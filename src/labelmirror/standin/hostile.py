"""Names that a server might send and that no file may get as they are."""

#: (directory, filename) as a careless or malicious server would give them.
HOSTILE_PLACES: tuple[tuple[str, str], ...] = (
    ("/", ".."),
    ("/..", "up.png"),
    ("/../../etc", "passwd.png"),
    ("/", "/etc/absolute.png"),
    ("/", "slash/inside.png"),
    ("/", "back\\slash.png"),
    ("/", "line\nbreak.png"),
    ("/", "bell\x07.png"),
    ("/", "escape\x1b[31m.png"),
    ("/", "right\u202eto-left.png"),
    ("/", "CON.png"),
    ("/", "aux"),
    ("/", ".hidden.png"),
    ("/", "trailing dot."),
    ("/", " space .png"),
    ("/", "n" * 296 + ".png"),
    ("/", "caf\u00e9.png"),
    ("/", "cafe\u0301.png"),
    ("/", "Twin.png"),
    ("/", "twin.png"),
    ("/", "per%2fcent.png"),
    ("/", "query?and#fragment.png"),
    ("/", "star*.png"),
    ("/nul", "in-reserved-folder.png"),
)
