"""Data that each site of a deployment brings itself: the scenario says what they are like."""

from __future__ import annotations

from fedlab.data.dataset import Dataset
from fedlab.data.sites.settings import SitesSettings
from fedlab.errors import FedlabError
from fedlab.registry import datasets

NOT_HERE = (
    "data.name: 'sites' are data that stay with their owners; 'fedlab deploy run' trains on them "
    "where they are. Where the sites' files are on this machine, data.site_files lists them for a "
    "simulation"
)


@datasets.register("sites")
class Sites:
    """Each site's own pictures, tables, texts, recordings or series, which never leave it."""

    Settings = SitesSettings

    def __init__(self, settings: SitesSettings) -> None:
        self.settings = settings

    def load(self, seed: int) -> Dataset:
        """Refuse: no single data set holds what the sites hold.

        Raises:
            FedlabError: Always.
        """
        raise FedlabError(NOT_HERE)
