"""What the gateway's processes share: one segment of memory, the channels between them, and the keys they sign with.

The floor of the wires: it may import floors 0 to 2, and what needs more is handed to it as callables. The rule: a
process that is killed at any instruction leaves no lock held and no value that others would believe though it is torn.
"""
