"""A bot on pywa, behind the gateway. `run` starts it, reads what it saw as JSON lines, and asks it for look-ups on stdin.

What stands between the two `recipe` marks is what docs/clients/pywa.md shows; `run` checks that it is the same.
"""

import hashlib
import json
import logging
import sys
import threading

# recipe: begin
import os

import flask
from pywa import WhatsApp, types

app = flask.Flask(__name__)
wa = WhatsApp(
    phone_id=os.environ["PHONE_ID"],
    token=os.environ["GRAPH_TOKEN"],
    server=app,
    webhook_endpoint="/webhook",
    verify_token=os.environ["VERIFY_TOKEN"],
    app_secret=os.environ["BACKEND_SECRET"],  # Guarita's backend.secret; without one, receive.app_secret
)
# pywa has no parameter for Graph's address. Keep the version: pywa writes paths without it.
wa.api._session.base_url = os.environ["MEDIA_DOOR"] + "/v23.0"  # Guarita's media.public_url


def guarita_of(msg: types.Message) -> dict:
    """What Guarita saw; pywa leaves unknown keys out of its objects and keeps them in `raw`."""
    return msg.raw["entry"][0]["changes"][0]["value"]["messages"][0].get("guarita", {})


def media_of(media_id: str) -> bytes:
    """pywa.errors.WhatsAppError, code 100, subcode 33: withheld, or not there."""
    return wa.get_media_bytes(wa.get_media_url(media_id).url)
# recipe: end


tell_lock = threading.Lock()


def tell(**event):
    with tell_lock:
        print(json.dumps(event), flush=True)


def outcome(fetch):
    """What a fetch brought: the hash of its bytes, or the error as the library raises it."""
    try:
        data = fetch()
        return {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
    except Exception as error:  # whichever it is, the runner judges it
        return failure(error)


def failure(error):
    return {
        "error": type(error).__name__,
        "is_graph_error": any(base.__name__ == "WhatsAppError" for base in type(error).__mro__),
        "code": getattr(error, "code", None),
        "subcode": getattr(error, "subcode", None),
        "status": getattr(error, "status_code", None),
        "text": str(error)[:200],
    }


@app.after_request
def note_refusals(response):
    if response.status_code != 200:
        tell(event="refused", status=response.status_code)
    return response


@wa.on_message
def on_message(_: WhatsApp, msg: types.Message):
    media = msg.image or msg.document
    downloads = {}
    if msg.image:
        downloads = {
            "the webhook's url": outcome(msg.image.get_bytes),
            "its id": outcome(lambda: media_of(msg.image.id)),
        }
    replied = None
    if msg.type == types.MessageType.TEXT:
        try:
            replied = msg.reply_text("ok").id
        except Exception as error:
            replied = failure(error)
    tell(
        event="message",
        id=msg.id,
        object=f"{type(msg).__module__}.{type(msg).__name__}",
        type=msg.type.value,
        sender=msg.from_user.wa_id,
        text=msg.text,
        caption=msg.caption,
        media_id=media.id if media else None,
        media_url=media.url if media else None,
        error=msg.error.code if msg.error else None,
        guarita=guarita_of(msg),
        raw=flask.request.get_data(as_text=True),
        headers=dict(flask.request.headers),
        downloads=downloads,
        replied=replied,
    )


def answer_questions():
    for line in sys.stdin:
        media_id = line.strip()
        try:
            found = wa.get_media_url(media_id)
            tell(event="looked_up", id=media_id, found={"url": found.url, "mime_type": found.mime_type})
        except Exception as error:
            tell(event="looked_up", id=media_id, found=None, **failure(error))


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, stream=sys.stderr)
    threading.Thread(target=answer_questions, daemon=True).start()
    app.run(host="127.0.0.1", port=int(os.environ["PORT"]), threaded=True)
