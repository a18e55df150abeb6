"""What a schema cannot say, said for Schemathesis: addresses with checksums, times that exist, IOUs that are signed.

Only requests that are meant to be good are signed: what was broken on purpose stays broken."""

import hashlib
import json

import schemathesis
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import strategies as st

ALPHABET = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"


def address(digest: bytes) -> str:
    """The address of a RIPEMD-160."""
    payload = b"\x87" + digest
    payload += hashlib.sha256(hashlib.sha256(payload).digest()).digest()[:4]
    number, text = int.from_bytes(payload, "big"), ""
    while number:
        number, digit = divmod(number, 58)
        text = ALPHABET[digit] + text
    return text


KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
PUBLIC = KEY.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
# Its address, written down because some builds of OpenSSL have no RIPEMD-160.
OWNER = "wgKxZagQaVs3hCr5szJNUZnoK4ZpTjwSuA"

schemathesis.openapi.format("address", st.binary(min_size=20, max_size=20).map(address))
schemathesis.openapi.format(
    "date-time",
    st.datetimes().map(lambda time: time.strftime("%Y-%m-%dT%H:%M:%S.") + f"{time.microsecond // 1000:03}Z").filter(
        lambda text: len(text) == 24
    ),
)


def canonical(value) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=True).encode()


def digest(types: str, value) -> str:
    data = canonical(value)
    for name in {"sha3-256": ["sha3_256"], "sha256": ["sha256"]}.get(types, ["sha256", "sha256"]):
        data = hashlib.new(name, data).digest()
    return data.hex()


def signed(place: int, iou: dict) -> dict:
    """The IOU as its generated parts would have it, were it issued by the one key here."""
    data, found, meta = dict(iou["data"]), dict(iou["hash"]), {}
    data |= {"domain": "example.net", "source": OWNER, "symbol": OWNER}
    if data["target"] == OWNER:
        data["target"] = address(bytes(20))
    if not data["amount"].strip("0."):
        data["amount"] = "1"
    if not data.get("credit", "1").strip("-0."):
        data["credit"] = "-1"
    data["random"] = f"{place}{data['random']}"[:100]
    for name in ("custom", "locker", "solver"):
        data.pop(name, None)
    if custom := iou["meta"].get("custom"):
        types = custom.get("hash", {}).get("types", "sha256:sha256")
        data["custom"] = digest(types, custom["data"])
        meta["custom"] = {"data": custom["data"], "hash": {"steps": "stringify:data", "types": types, "value": data["custom"]}}
    found["value"] = digest(found["types"], data)
    signature = {"scheme": "eddsa-ed25519", "signer": OWNER, "public": PUBLIC.hex()}
    signature["string"] = KEY.sign(bytes.fromhex(found["value"])).hex()
    return {"data": data, "hash": found, "meta": meta | {"signatures": [signature]}}


def request(body: dict) -> dict:
    return {"data": {"inputs": [signed(place, iou) for place, iou in enumerate(body["data"]["inputs"])]}}


@schemathesis.hook
def before_load_schema(context, raw_schema):
    """Bodies as small as they can be and still show everything: most of the time goes into making them."""
    schemas = raw_schema["components"]["schemas"]
    for schema, list_, items in (
        ("TransactionData", "inputs", 2),
        ("IouMeta", "signatures", 2),
        ("IouMeta", "scripts", 1),
        ("PuzzleData", "identities", 2),
    ):
        schemas[schema]["properties"][list_]["maxItems"] = items
    schemas["CustomData"]["additionalProperties"] = {"type": "string"}
    kinds = [{"$ref": f"#/components/schemas/{kind}"} for kind in ("PuzzleData", "CustomData")]
    schemas["Document"]["properties"]["data"] = {"anyOf": kinds}
    # A pattern knows no leap years.
    for schema in ("IouData", "Timers"):
        for name in ("active", "expiry"):
            schemas[schema]["properties"][name]["format"] = "date-time"
    # The same requests in an array: it cannot write them as lines.
    batch = raw_schema["paths"]["/batch"]["post"]["requestBody"]["content"]
    del batch["application/x-ndjson"]
    batch["application/json"]["schema"]["maxItems"] = 2


def named(body: dict) -> dict:
    """The document under the name that its data has, with every key of a puzzle once."""
    document = dict(body["data"])
    if "identities" in (data := document["data"]) and isinstance(data["identities"], list):
        keys = {(identity["scheme"], identity["public"].lower()): identity for identity in data["identities"]}
        document["data"] = data | {"identities": list(keys.values())}
    found = document["hash"]
    document["hash"] = found | {"value": digest(found["types"], document["data"])}
    return {"data": document}


@schemathesis.hook
def before_call(context, case, kwargs):
    if case.operation.label not in ("POST /transaction", "POST /batch", "PUT /document/{hash}") or case.meta is None:
        return
    if case.meta.generation.mode is not schemathesis.GenerationMode.POSITIVE:
        return
    try:
        if case.operation.label == "POST /batch":
            case.body = [request(body) for body in case.body]
        elif case.operation.label == "PUT /document/{hash}":
            case.body = named(case.body)
            case.path_parameters = {"hash": case.body["data"]["hash"]["value"]}
        else:
            case.body = request(case.body)
    except UnicodeEncodeError:
        pass  # a lone surrogate: no JSON text can carry it
