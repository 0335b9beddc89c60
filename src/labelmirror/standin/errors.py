"""What keeps a stand-in from starting."""


class StandinError(Exception):
    """The options of a stand-in cannot be followed; the message says which, and what would be valid."""


class FaultPlanError(StandinError):
    """A fault plan that cannot be followed: the message names file, entry and what would be valid."""
