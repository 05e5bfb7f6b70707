"""The only place of this room that touches what Flower does not make public.

``tests/deploy/flower`` fails when Flower moves it.
"""
