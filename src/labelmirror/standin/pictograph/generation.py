"""The generations of the Pictograph API, which its URL does not tell apart (contract, section 0)."""

from enum import StrEnum

from labelmirror.standin.sample import Richness


class Generation(StrEnum):
    """One of the four ways in which the API has spoken, oldest first."""

    G0 = "g0"
    G1 = "g1"
    G1B = "g1b"
    G2 = "g2"

    @property
    def wraps_in_data(self) -> bool:
        """Whether answers are `{data, pagination}` and errors `{error: {…}}`."""
        return self in {Generation.G1B, Generation.G2}

    @property
    def richness(self) -> Richness:
        """What its annotations can express."""
        return Richness(
            holes=self is not Generation.G0, oriented=self is Generation.G2, instances=self is Generation.G2
        )
