"""The toy scenario, with something to say in each way that Python has."""

from __future__ import annotations

import logging
import warnings
from typing import TYPE_CHECKING

from toy import Toy

from framework.scenario import register_scenario

if TYPE_CHECKING:
    import keras

log = logging.getLogger(__name__)


@register_scenario("talking")
class Talking(Toy):
    def build_model(self) -> keras.Model:
        log.debug("a detail")
        log.info("a line")
        log.warning("a doubt")
        logging.info("a line of no logger")
        warnings.warn("a warning of Python", stacklevel=1)
        logging.getLogger("somebody.else").warning("another's doubt")
        print("printed")
        return super().build_model()
