"""A backend as small as can be: takes WhatsApp webhooks, checks their signature, and prints what arrived.

It prints message texts, which a real backend should not do: it is here to be watched.
"""

import hashlib
import hmac
import json
import os
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

SECRET = os.environ["BACKEND_SECRET"].encode()
BODY_BYTES_MAX = 8 << 20


def tell(body):
    for entry in body.get("entry", []):
        for change in entry.get("changes", []):
            for message in change.get("value", {}).get("messages", []):
                seen = message.get("guarita", {})
                kind = message.get("type")
                print(f"{message.get('id')}  {kind}  verdict {seen.get('verdict')}, action {seen.get('action')}")
                print(f"    {json.dumps(message.get(kind), ensure_ascii=False)}")
                for finding in seen.get("findings", []):
                    print(f"    {finding['severity']}: {finding['title']} ({finding['rule']})")
                for gap in seen.get("gaps", []):
                    print(f"    gap: {gap['reason']}")


class Webhook(BaseHTTPRequestHandler):
    def do_POST(self):
        length = int(self.headers.get("Content-Length", 0))
        if not 0 <= length <= BODY_BYTES_MAX:
            return self.answer(413)
        body = self.rfile.read(length)
        expected = "sha256=" + hmac.new(SECRET, body, hashlib.sha256).hexdigest()
        if not hmac.compare_digest(self.headers.get("X-Hub-Signature-256", ""), expected):
            print("refused: the signature does not fit")
            return self.answer(401)
        tell(json.loads(body))
        self.answer(200)

    def answer(self, status):
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


if __name__ == "__main__":
    print("sample backend: http://0.0.0.0:3000/webhook", file=sys.stderr)
    ThreadingHTTPServer(("0.0.0.0", 3000), Webhook).serve_forever()
