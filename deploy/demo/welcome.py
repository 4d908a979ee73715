"""What the demo says once it runs: where to look, and what to try."""

from urllib.parse import urlsplit

TEXT = """\
The city is live.

  Feeds, with a chart each   {http}/
  What there is, as JSON     {http}/feeds
  Catalogue (DCAT-AP)        {http}/catalog.ttl
  Publish here               mqtt://{host}:{port}

Try, in another terminal:

  curl '{http}/feeds/air/observations.csv?thing=lucht-korenmarkt'
  curl '{http}/feeds/passages/observations.json'
  curl -H 'Accept: text/turtle' {http}/catalog
  curl -s {http}/metrics | grep messages

Your own sensor appears by itself in {http}/feeds/everything:

  mosquitto_pub -h {host} -p {port} -q 1 -t sensors/my-balcony -m '{{"temperature": 21.4}}'

or with what is installed here:

  {python} -c 'from paho.mqtt.publish import single
  single("sensors/my-balcony", "{{\\"temperature\\": 21.4}}", qos=1, hostname="{host}", port={port})'

  curl '{http}/feeds/everything/observations.csv?thing=my-balcony'

Ctrl-C stops everything cleanly; the next start goes on from there.
"""


def welcome(http_url: str, mqtt_url: str, *, python: str = ".venv/bin/python") -> str:
    """Return the text to print once all is up; `mqtt_url` as a device uses it, without a login."""
    parts = urlsplit(mqtt_url)
    return TEXT.format(
        http=http_url.rstrip("/"), host=parts.hostname or "127.0.0.1", port=parts.port or 1883, python=python
    )
