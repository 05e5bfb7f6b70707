"""Federations of machines that hold their own data, over Flower's SuperLink and SuperNodes.

A server and each site have a folder with a file that says what they need. Nothing here is imported
by runs on one machine.
"""
