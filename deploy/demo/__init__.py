"""A simulated Flemish city region that publishes over MQTT in the formats of real networks.

`things.geojson` lists what there is and where; `city.measure` and `passages.passages` say what it
measures at any time, from a seed alone; `messages` writes that as the networks do; `publish` sends it.
"""

from deploy.demo.publish import history, live
from deploy.demo.welcome import welcome

__all__ = ["history", "live", "welcome"]
