"""The kinds of data that sites hold, by name."""

from __future__ import annotations

from fedlab.data.sites.kind import SiteKind
from fedlab.data.sites.pictures import Pictures
from fedlab.data.sites.series import SeriesTables
from fedlab.data.sites.settings import SitesSettings
from fedlab.data.sites.sounds import Sounds
from fedlab.data.sites.tables import Tables
from fedlab.data.sites.texts import Texts

_KINDS: dict[str, type[SiteKind]] = {
    "pictures": Pictures,
    "table": Tables,
    "text": Texts,
    "sound": Sounds,
    "series": SeriesTables,
}


def kind_of(settings: SitesSettings) -> SiteKind:
    """Return what reads the federation's kind of data."""
    return _KINDS[settings.kind](settings)
