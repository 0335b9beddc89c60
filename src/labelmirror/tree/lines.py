"""JSON as lines of a file that people may look into."""

import json

from labelmirror.model.document import JsonValue


def json_line(value: JsonValue) -> str:
    """One line of JSON, readable unless a name holds what UTF-8 cannot."""
    text = json.dumps(value, ensure_ascii=False)
    return text if text.isascii() or not any("\ud800" <= char <= "\udfff" for char in text) else json.dumps(value)
