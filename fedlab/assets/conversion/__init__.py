"""Conversions of weights, from the files that packages carry to one ``model.safetensors``.

Each is ``convert(source folder, target folder)`` and imports what is heavy inside.
"""
