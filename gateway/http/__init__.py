"""The words of HTTP: values and grammar, no I/O. Floor 0: the standard library, and httptools in `head.py` only."""
