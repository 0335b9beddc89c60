"""What a provider remembers from run to run, in memory."""

from dataclasses import dataclass, field

from labelmirror.model.document import JsonValue


@dataclass(slots=True)
class MemoryFacts:
    held: dict[str, JsonValue] = field(default_factory=dict)

    async def get(self, name: str) -> JsonValue:
        return self.held.get(name)

    async def put(self, name: str, value: JsonValue) -> None:
        if value is None:
            self.held.pop(name, None)
        else:
            self.held[name] = value
