"""What a node of a deployment adds to the ClientApp: data of its own, answers, and a memory.

A node whose configuration names no site's file takes its part of the scenario's data set.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from flwr.app import Context, Error, Message, MessageType, RecordDict

from fedlab.engine.devices import resolved
from fedlab.engine.worker.introduction import Introduction, facts, introduction_of, statistics_of
from fedlab.engine.worker.kept_states import KeptStates
from fedlab.engine.worker.local_site import Place, scenario_at
from fedlab.engine.worker.of_process import worker_of
from fedlab.engine.worker.time_limit import ClientTimeout
from fedlab.engine.worker.worker import Worker
from fedlab.errors import FedlabError, described, one_line
from fedlab.scenario.site_data import is_of_sites
from fedlab.wire.checks import BadReply
from fedlab.wire.protocol import (
    ASK,
    INTRODUCTION,
    NUM_PARTITIONS,
    PARTITION_ID,
    ROUND,
    RUN_KEY,
    SCENARIO,
    SITE,
    STATISTICS_OF_SITE,
    phase_of,
)
from fedlab.wire.records import config_of

logger = logging.getLogger(__name__)

DEVICE = "device"
"""Key of a node's own configuration: what its machine trains on, as ``engine.device``."""
RAISED = 2
"""Flower's code of an error that a ClientApp raised."""
Next = Callable[[Message, Context], Message]


def _text(context: Context) -> str:
    return str(context.run_config[SCENARIO])


@lru_cache(maxsize=4)
def _brings_data(text: str, place: Place) -> bool:
    """Return whether a scenario is of sites that bring their data, if this one may be run here."""
    return is_of_sites(scenario_at(text, place))


def worker_of_node(context: Context, config: Mapping[str, Any]) -> Worker:
    """Return the worker of this process for a message."""
    own = context.node_config.get(DEVICE)
    device = None if own is None else str(resolved(str(own), f"--node-config {DEVICE}"))
    text, place = _text(context), Place.of(context, config)
    if place is not None and not _brings_data(text, Place(place.path, 0, 1)):
        place = None
    return worker_of(text, phase_of(config), device, place)


def answer_of_node(context: Context, config: Mapping[str, Any]) -> str:
    """Return the answer to a server's question, as JSON.

    Raises:
        FedlabError: If the question is none, or the statistics cannot be had.
    """
    text, place = _text(context), Place.of(context)
    if config[ASK] == STATISTICS_OF_SITE and place is not None:
        answer = statistics_of(text, place)
    elif config[ASK] == INTRODUCTION:
        answer = _introduction(context, text, place).model_dump_json()
    else:
        raise FedlabError(f"'{one_line(str(config[ASK]), 40)}' is no question to a site")
    logger.info("asked for its %s, the site answers %s", config[ASK], answer)
    return answer


def _introduction(context: Context, text: str, place: Place | None) -> Introduction:
    if place is not None:
        try:
            is_own = _brings_data(text, Place(place.path, 0, 1))
        except FedlabError:
            is_own = True
        if is_own:
            return introduction_of(text, place)
    client = int(context.node_config[PARTITION_ID])
    clients = int(context.node_config.get(NUM_PARTITIONS, 0))
    own = Introduction(client=client, clients=clients, facts=facts())
    try:
        worker = worker_of_node(context, {})
        held = worker.federation.partition.size(client)
    except FedlabError as error:
        return own.model_copy(update={"differences": (described(error),)})
    layout = worker.network.model.layout.fingerprint
    return own.model_copy(update={"layout": layout, "held": held})


def remembering(message: Message, context: Context, call_next: Next) -> Message:
    """Give a client what it kept in an earlier round, from its site's file, and keep what is new.

    It works where a message says which run it belongs to; a reply that fails leaves the file alone.
    """
    config, path = config_of(message.content), context.node_config.get(SITE)
    run, kind = config.get(RUN_KEY), message.metadata.message_type
    if path is None or run is None or kind == MessageType.QUERY:
        return call_next(message, context)
    states, number = KeptStates.of(Path(str(path)), str(run)), int(config.get(ROUND, 0))
    training = kind == MessageType.TRAIN
    context.state = states.load(number, training)
    try:
        reply = call_next(message, context)
        if training:
            states.save(number, context.state)
        return reply
    finally:
        # The SuperNode would keep it, too, and send it back and forth.
        context.state = RecordDict()


def reticent(message: Message, context: Context, call_next: Next) -> Message:
    """Answer with an error that quotes nothing of a site's data, where anything is raised."""
    if context.node_config.get(SITE) is None:
        return call_next(message, context)
    try:
        return call_next(message, context)
    except (BadReply, ClientTimeout) as error:
        logger.warning("the server is told: %s", error)
        reason = str(error)
    except Exception as error:
        logger.exception("a message was not answered")
        reason = f"{type(error).__name__} at the site; its own log says more"
    return Message(Error(RAISED, one_line(reason, 300)), reply_to=message)
