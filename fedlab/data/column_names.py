"""What columns are usually called, by which inspectors guess what they are."""

from __future__ import annotations

import re

CALLED_TARGET = re.compile(
    r"(target|labels?|class(es)?|y|outcome|output|diagnos[ie]s|response|result|income|survived|"
    r"churn(ed)?|default(ed)?|exited|(is[ _])?fraud|price|quality|num|disease|species)\??",
    re.IGNORECASE,
)
"""The whole name of a column that is probably learned."""
CALLED_CLIENT = re.compile(
    r"(^|[ _.-])(site|hospital|cent(er|re)|clinic|ward|client|user|subject|patient|participant|"
    r"device|sensor|region|location|store|branch|bank|school|institution|country|state|city|"
    r"company)([ _.-]?(id|name|no|nr|number))?$",
    re.IGNORECASE,
)
"""The end of a name of a column that probably says whose a row is."""
CALLED_SERIES = re.compile(
    r"(^|[ _.-])(series|recording|session|trial|run|segment|episode|record)"
    r"([ _.-]?(id|name|no|nr|number))?$",
    re.IGNORECASE,
)
"""The end of a name of a column that tells series apart, and says nothing of whose they are."""
CALLED_LABEL = re.compile(r"(labels?|class(es)?|activity|target|y|event|gesture)", re.IGNORECASE)
"""The whole name of a column of classes, also where they are written as numbers."""
