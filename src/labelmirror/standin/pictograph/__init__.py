"""The stand-in Pictograph, in four generations.

It follows the wire contract that the provider is written from, with what servers were seen to do and what their SDKs
need. Where the contract guesses, the stand-in makes one choice, said where it is made.
"""

from labelmirror.standin.pictograph.dialect import build

__all__ = ["build"]
