"""Payload codecs: what a LoRaWAN device's bytes mean, by its JavaScript, in an engine that can do nothing else.

The convention is that of TS013, https://resources.lora-alliance.org/technical-specifications/ts013-1-0-0-payload-codec-api:
`decodeUplink({bytes, fPort, recvTime})` returns `{data, warnings, errors}`. The older `Decoder(bytes, port)` and
`Decode(fPort, bytes)` return the data. A codec runs in QuickJS (https://github.com/genotrance/quickjs-ng) without
files, network and modules, with 16 MiB of memory and 40 ms of processor time. All that it declares is made anew
for each message, so that nothing of one device is left for the next.
"""

import threading
from base64 import b64decode
from binascii import Error
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import orjson

from broker.errors import BadMessage
from ingest import cayenne

CAYENNE = "cayenne"
"""In place of a codec: the bytes are Cayenne LPP."""
MEMORY = 16 << 20
STACK = 256 << 10
SECONDS = 0.04
MAX_BYTES = 4096
"""A LoRaWAN payload has 242 at most."""
MAX_RESULT = 1 << 20
MAX_KEPT = 256
"""Codecs that one thread keeps compiled."""

_ENTRIES = '["decodeUplink", "Decoder", "Decode"]'
_HARNESS = """
((text, entries) => {
  "use strict";
  const {parse, stringify} = JSON, {getOwnPropertyNames} = Object, ours = new Set(getOwnPropertyNames(globalThis));
  const silent = () => undefined;
  const console = {log: silent, info: silent, warn: silent, error: silent, debug: silent};
  const found = entries.map(name => `${name}: typeof ${name} === "function" ? ${name} : undefined`).join(", ");
  const declare = new Function("console", "module", "exports", `${text}\\n;return {${found}};`);
  const entry = () => {
    const module = {exports: {}}, declared = declare(console, module, module.exports);
    const name = entries.find(one => declared[one] || typeof module.exports[one] === "function");
    return [name, name && (declared[name] || module.exports[name])];
  };
  const run = ({bytes, port, time}) => {
    const [name, decode] = entry();
    if (name === undefined) return {reason: "no function"};
    if (name === "Decoder") return {data: decode(bytes, port)};
    if (name === "Decode") return {data: decode(port, bytes, {})};
    const result = decode({bytes, fPort: port, recvTime: new Date(time), variables: {}});
    if (result === null || typeof result !== "object") return {reason: "nothing"};
    if (result.errors && result.errors.length) return {reason: "errors"};
    return {data: result.data};
  };
  const check = () => { try { return entry()[0] || ""; } catch { return ""; } };
  return input => {
    if (input === "") return check();
    try { return stringify(run(parse(input))); }
    catch { return '{"reason":"exception"}'; }
    finally { for (const name of getOwnPropertyNames(globalThis)) if (!ours.has(name)) delete globalThis[name]; }
  };
})
"""
_WHY = {
    "no function": "expected a function decodeUplink, Decoder or Decode, found none",
    "nothing": "decodeUplink: expected an object with data, found none",
    "errors": "the codec says that these bytes are wrong",
    "exception": "the codec failed on these bytes",
}
_kept = threading.local()


def decode(codec: str, data: str | bytes, port: int | None, received: datetime) -> dict[str, Any]:
    """Decode an uplink: `codec` is the text of the JavaScript, or `cayenne`; `data` its bytes, or base64 of them.

    Returns the object that the codec makes of them. Raises BadMessage (`codec`) where it throws, takes too
    long or too much memory, says that there are errors, or gives something else.
    """
    payload = _bytes(data)
    if codec == CAYENNE:
        return cayenne.decode(payload)
    asked = {"bytes": list(payload), "port": port or 0, "time": received.timestamp() * 1000}
    answer = _run(codec, orjson.dumps(asked).decode())
    if "reason" in answer:
        raise _failed(_WHY[answer["reason"]])
    decoded = answer.get("data")
    if type(decoded) is not dict:
        raise _failed("expected an object, found something else")
    return decoded


def check(codec: str) -> None:
    """Say what is wrong with a codec's text. Raises ValueError: it is no JavaScript, or declares no decoder."""
    name = _answer(codec, "")
    if name is None:
        raise ValueError("expected JavaScript, found something else")
    if not name:
        raise ValueError(_WHY["no function"])


def _bytes(data: str | bytes) -> bytes:
    try:
        payload = data if isinstance(data, bytes) else b64decode(data, validate=True)
    except (Error, ValueError):
        raise BadMessage("the bytes of an uplink: expected base64, found something else") from None
    if len(payload) > MAX_BYTES:
        raise BadMessage(f"the bytes of an uplink: expected at most {MAX_BYTES}", reason="size")
    return payload


def _run(codec: str, asked: str) -> Mapping[str, Any]:
    text = _answer(codec, asked)
    if text is None:
        raise _failed("the codec took too long, or too much memory")
    if type(text) is not str or len(text) > MAX_RESULT:
        raise _failed("expected an object, found none, or a very large one")
    try:
        answer: Mapping[str, Any] = orjson.loads(text)
    except orjson.JSONDecodeError:
        raise _failed("expected an object, found texts that are not Unicode") from None
    return answer


def _answer(codec: str, asked: str) -> Any:
    """Ask a codec; None where it had to be stopped. Each thread has its own contexts, as the engine asks for."""
    # Importing it starts a thread, and most sources have no codec.
    import quickjs  # noqa: PLC0415

    contexts = _contexts()
    try:
        if codec not in contexts:
            if len(contexts) >= MAX_KEPT:
                contexts.clear()
            context = quickjs.Context()
            context.set_memory_limit(MEMORY)
            context.set_max_stack_size(STACK)
            context.set_time_limit(SECONDS)
            contexts[codec] = context.eval(_HARNESS)(codec, context.parse_json(_ENTRIES))
        return contexts[codec](asked)
    except (quickjs.JSException, quickjs.StackOverflow):
        contexts.pop(codec, None)  # after an interruption, or without memory: begin anew
        return None


def _contexts() -> dict[str, Any]:
    if not hasattr(_kept, "contexts"):
        _kept.contexts = {}
    contexts: dict[str, Any] = _kept.contexts
    return contexts


def _failed(why: str) -> BadMessage:
    return BadMessage(f"codec: {why}", reason="codec")
