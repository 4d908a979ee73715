"""What a thing measures, as its network would publish it: topic and payload."""

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from uuid import UUID

from deploy.demo import city
from deploy.demo.chance import unit
from deploy.demo.city import Thing, Values
from deploy.demo.passages import Vehicle, passages
from deploy.demo.rhythm import ZONE

Payload = tuple[str, bytes]
APPLICATION = str(UUID(int=0xA1, version=4))
"""Of all devices at ChirpStack."""


def message(thing: Thing, start: datetime, end: datetime) -> Payload:
    """Return what a sensor publishes at `end` about [start, end)."""
    return _SENSORS[thing.format](thing, city.measure(thing, start, end), start, end)


def place(thing: Thing, moment: datetime) -> Payload | None:
    """Return what tells where a thing is, for networks that tell it apart from the measurements."""
    return _chirpstack_place(thing, moment) if thing.format == "chirpstack_v4" else None


def passage(camera: Thing, vehicle: Vehicle) -> Payload:
    """Return what a camera publishes about one vehicle."""
    return _CAMERAS[camera.format](camera, vehicle)


def sample(thing: Thing, moment: datetime) -> Payload:
    """Return one message of a thing at exactly `moment`, of a camera too."""
    if thing.kind != "camera":
        return message(thing, moment - city.MINUTE, moment)
    vehicle = next(iter(passages(thing, moment - timedelta(hours=1), moment)), None)
    return passage(
        thing, vehicle._replace(time=moment) if vehicle else Vehicle(moment, None, 1, "forward", False, 0.4, 30)
    )


def _tts(thing: Thing, values: Values, _: datetime, end: datetime) -> Payload:
    """Write an uplink: https://www.thethingsindustries.com/docs/integrations/data-formats/."""
    application = "stad-lucht"
    seconds = int(end.timestamp())
    body = {
        "end_device_ids": {
            "device_id": thing.identity,
            "application_ids": {"application_id": application},
            "dev_eui": _eui(thing).upper(),
            "dev_addr": "260B" + _eui(thing)[-4:].upper(),
        },
        "received_at": _iso(end + timedelta(milliseconds=210)),
        "uplink_message": {
            "f_port": 2,
            "f_cnt": seconds // 10 % 65536,
            "decoded_payload": {_TTS.get(key, key): value for key, value in values.items()},
            "rx_metadata": [
                {
                    "gateway_ids": {
                        "gateway_id": f"gw-{thing.town.lower()}",
                        "eui": "0200000000F0" + _eui(thing)[-4:].upper(),
                    },
                    "time": _iso(end - timedelta(milliseconds=30)),
                    "rssi": -60 - int(50 * unit(thing.identity, seconds, "rssi")),
                    "snr": round(10 - 14 * unit(thing.identity, seconds, "snr"), 1),
                }
            ],
            "settings": {
                "data_rate": {"lora": {"bandwidth": 125000, "spreading_factor": 7, "coding_rate": "4/5"}},
                "frequency": "868300000",
            },
            "received_at": _iso(end),
            "locations": {
                "user": {"latitude": thing.latitude, "longitude": thing.longitude, "source": "SOURCE_REGISTRY"}
            },
        },
    }
    return f"v3/{application}@stadsregio/devices/{thing.identity}/up", _json(body)


def _chirpstack(thing: Thing, values: Values, _: datetime, end: datetime) -> Payload:
    """Write an uplink: https://www.chirpstack.io/docs/chirpstack/integrations/events.html."""
    seconds = int(end.timestamp())
    body = _chirpstack_event(thing, end) | {
        "devAddr": "01" + thing.identity[-6:],
        "adr": True,
        "dr": 5,
        "fCnt": seconds // 10 % 65536,
        "fPort": 85,
        "confirmed": False,
        "object": {_CHIRPSTACK.get(key, key): float(value) for key, value in values.items()},
        "rxInfo": [
            {
                "gatewayId": "02000000000f" + thing.identity[-4:],
                "uplinkId": seconds % 65536,
                "rssi": -62 - int(50 * unit(thing.identity, seconds, "rssi")),
                "snr": round(10 - 14 * unit(thing.identity, seconds, "snr"), 1),
                "crcStatus": "CRC_OK",
            }
        ],
        "txInfo": {"frequency": 868300000},
        "regionConfigId": "eu868",
    }
    return f"application/{APPLICATION}/device/{thing.identity}/event/up", _json(body)


def _chirpstack_place(thing: Thing, moment: datetime) -> Payload:
    location = {
        "latitude": thing.latitude,
        "longitude": thing.longitude,
        "altitude": 0,
        "source": "GEO_RESOLVER_GNSS",
    }
    body = _chirpstack_event(thing, moment) | {"location": location}
    return f"application/{APPLICATION}/device/{thing.identity}/event/location", _json(body)


def _chirpstack_event(thing: Thing, moment: datetime) -> dict[str, object]:
    return {
        "deduplicationId": str(UUID(int=_bits(thing, moment), version=4)),
        "time": moment.isoformat(timespec="microseconds"),
        "deviceInfo": {
            "tenantId": str(UUID(int=1, version=4)),
            "tenantName": "Stadsregio",
            "applicationId": APPLICATION,
            "applicationName": "geluid",
            "deviceProfileName": "ws302",
            "deviceName": thing.name,
            "devEui": thing.identity,
            "deviceClassEnabled": "CLASS_A",
            "tags": {"gemeente": thing.town},
        },
    }


def _senml(thing: Thing, values: Values, _: datetime, end: datetime) -> Payload:
    """Write a pack: https://www.rfc-editor.org/rfc/rfc8428."""
    first = {"bn": f"urn:dev:mac:{_eui(thing)}:", "bt": round(end.timestamp(), 3)}
    records: list[dict[str, object]] = [
        {"n": name, "u": unit_, "v": values[key]} for key, (name, unit_) in _SENML.items() if key in values
    ]
    records += [{"n": "lat", "u": "lat", "v": thing.latitude}, {"n": "lon", "u": "lon", "v": thing.longitude}]
    return f"senml/{thing.identity}", _json([first | records[0], *records[1:]])


def _ngsi(thing: Thing, values: Values, start: datetime, end: datetime) -> Payload:
    """Write an entity as key-values: https://github.com/smart-data-models."""
    kind = thing.identity.split(":")[2]
    body: dict[str, object] = {"id": thing.identity, "type": kind, "name": thing.name}
    if thing.subject == "traffic":
        body |= {"dateObserved": f"{_iso(start)}/{_iso(end)}"}
        body |= {"dateObservedFrom": _iso(start), "dateObservedTo": _iso(end)}
    else:
        body |= {"observationDateTime": _iso(end), "category": ["public", "feeCharged"]}
    body |= {_NGSI.get(key, key): value for key, value in values.items()}
    if "occupancy" in body:
        body["occupancy"] = values["parkingOccupancy"] / 100
    body["address"] = {"addressLocality": thing.town, "addressCountry": "BE"}
    body["location"] = {"type": "Point", "coordinates": [thing.longitude, thing.latitude]}
    return f"entities/{kind}/{thing.identity.replace(':', '-')}", _json(body)


def _counter(thing: Thing, values: Values, start: datetime, end: datetime) -> Payload:
    """Write the JSON of a small maker's counting post; `options` of its source in city.toml say what is where."""
    body = {
        "post": thing.identity,
        "from": _iso(start),
        "to": _iso(end),
        "count": {"in": values["bicycleCount/in"], "out": values["bicycleCount/out"]},
        "position": {"lat": thing.latitude, "lon": thing.longitude},
    }
    return f"bicycle/{thing.identity}/count", _json(body)


def _milesight(camera: Thing, vehicle: Vehicle) -> Payload:
    """Write the push of a Milesight LPR camera: every value a string, local time without zone."""
    local = vehicle.time.astimezone(ZONE)
    stamp = f"{local:%Y-%m-%d %H:%M:%S}.{local.microsecond // 1000:03}"
    body = {
        "device": camera.identity,
        "time": stamp,
        "time_msec": stamp,
        "plate": vehicle.plate or "",
        "type": "Visitor",
        "speed": str(vehicle.speed),
        "direction": "Approach" if vehicle.direction == "forward" else "Away",
        "detection_region": str(vehicle.lane),
        "region": "BEL",
        "resolution_width": "1920",
        "resolution_height": "1080",
        "confidence": f"{vehicle.confidence:.2f}",
        "plate_color": "White",
        "vehicle_type": "Truck" if vehicle.lorry else "Car",
        "vehicle_color": "-",
        "Vehicle Brand": "-",
    }
    return f"anpr/milesight/{camera.identity}", _json(body)


HIKVISION = """\
<?xml version="1.0" encoding="UTF-8"?>
<EventNotificationAlert version="2.0" xmlns="http://www.hikvision.com/ver20/XMLSchema">
<ipAddress>192.0.2.{address}</ipAddress>
<portNo>80</portNo>
<protocol>HTTP</protocol>
<macAddress>02:00:00:00:00:{address:02x}</macAddress>
<channelID>1</channelID>
<dateTime>{time}</dateTime>
<activePostCount>1</activePostCount>
<eventType>ANPR</eventType>
<eventState>active</eventState>
<eventDescription>ANPR</eventDescription>
<channelName>{name}</channelName>
<ANPR>
<country>13</country>
<licensePlate>{plate}</licensePlate>
<line>{lane}</line>
<direction>{direction}</direction>
<confidenceLevel>{confidence}</confidenceLevel>
<plateType>unknown</plateType>
<vehicleType>{kind}</vehicleType>
<detectDir>8</detectDir>
<detectType>0</detectType>
<alarmDataType>0</alarmDataType>
<vehicleInfo>
<index>{index}</index>
<speed>{speed}</speed>
<length>0</length>
</vehicleInfo>
</ANPR>
<UUID>{uuid}</UUID>
<picNum>0</picNum>
<isDataRetransmission>false</isDataRetransmission>
</EventNotificationAlert>
"""


def _hikvision(camera: Thing, vehicle: Vehicle) -> Payload:
    """Write an ISAPI EventNotificationAlert, as a camera sends it to its alarm host."""
    payload = HIKVISION.format(
        address=1 + _bits(camera, None) % 200,
        time=vehicle.time.astimezone(ZONE).isoformat(timespec="milliseconds"),
        name=camera.name,
        plate=vehicle.plate or "unknown",
        lane=vehicle.lane,
        direction=vehicle.direction,
        confidence=round(100 * vehicle.confidence),
        kind="truck" if vehicle.lorry else "vehicle",
        index=int(vehicle.time.timestamp()) % 100_000,
        speed=vehicle.speed,
        uuid=UUID(int=_bits(camera, vehicle.time), version=4),
    )
    return f"anpr/hikvision/{camera.identity}", payload.encode()


def _eui(thing: Thing) -> str:
    """Return a locally administered EUI-64, lower case."""
    return f"02000000{_bits(thing, None) % (1 << 32):08x}"


def _bits(thing: Thing, moment: datetime | None) -> int:
    """Return 104 bits that belong to a thing and a time."""
    stamp = moment.timestamp() if moment else 0
    return sum(int(unit(thing.identity, stamp, part) * (1 << 52)) << 52 * part for part in range(2))


def _iso(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _json(body: object) -> bytes:
    return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()


_TTS = {"pm25": "pm2_5", "relativeHumidity": "humidity"}
_CHIRPSTACK = {"batteryLevel": "battery"}
_NGSI = {
    "parkingCapacity": "totalSpotNumber",
    "occupiedParkingSpaces": "occupiedSpotNumber",
    "availableParkingSpaces": "availableSpotNumber",
    "parkingOccupancy": "occupancy",
    "vehicleCount": "intensity",
    "vehicleSpeed": "averageVehicleSpeed",
}
_SENML = {
    "temperature": ("temperature", "Cel"),
    "relativeHumidity": ("humidity", "%RH"),
    "atmosphericPressure": ("barometric_pressure", "hPa"),
    "windSpeed": ("wind_speed", "m/s"),
    "windDirection": ("wind_direction", "deg"),
    "precipitation": ("rain", "mm"),
    "solarRadiation": ("solar_radiation", "W/m2"),
    "waterLevel": ("water_level", "m"),
    "waterTemperature": ("water_temperature", "Cel"),
}
_SENSORS: Mapping[str, Callable[[Thing, Values, datetime, datetime], Payload]] = {
    "tts_v3": _tts,
    "chirpstack_v4": _chirpstack,
    "senml": _senml,
    "ngsi_ld": _ngsi,
    "json": _counter,
}
_CAMERAS: Mapping[str, Callable[[Thing, Vehicle], Payload]] = {"milesight": _milesight, "hikvision": _hikvision}
FORMATS = (*_SENSORS, *_CAMERAS)
