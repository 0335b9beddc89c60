"""labelmirror keeps annotated image datasets of annotation servers as ordinary directories, complete, cheap and never lossy."""

__version__ = "0.1.0"
