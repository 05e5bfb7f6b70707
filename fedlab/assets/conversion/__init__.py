"""Conversions of weights, from the files in packages to one ``model.safetensors``.

Each is ``convert(source folder, target folder)`` and defers heavy imports.
"""
