"""Shifts of clients' pictures, one file each, named after what it registers.

A shift extends :class:`fedlab.data.shift.Shift`. A scenario lists it, with its keys, in
``[[data.shift]]``.
"""
