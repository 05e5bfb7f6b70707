"""Adapters: small modules beside the layers of a frozen backbone, one file each."""
