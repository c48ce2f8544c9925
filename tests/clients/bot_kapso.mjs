// A bot on @kapso/whatsapp-cloud-api, behind the gateway. `run` starts it, reads what it saw as JSON lines, and asks it for
// look-ups on stdin. What stands between the two `recipe` marks is what docs/clients/kapso.md shows; `run` checks it.

// recipe: begin
import { WhatsAppClient } from "@kapso/whatsapp-cloud-api";
import { normalizeWebhook, verifySignature } from "@kapso/whatsapp-cloud-api/server";

const client = new WhatsAppClient({
  accessToken: process.env.GRAPH_TOKEN,
  baseUrl: process.env.MEDIA_DOOR, // Guarita's media.public_url
  graphVersion: "v23.0",
});

/** The messages of one POST, or null where the signature does not fit. `rawBody`: a Buffer, as it came. */
function messagesOf(rawBody, signatureHeader) {
  const appSecret = process.env.BACKEND_SECRET; // Guarita's backend.secret; without one, receive.app_secret
  if (!verifySignature({ appSecret, rawBody, signatureHeader })) return null;
  return normalizeWebhook(JSON.parse(rawBody.toString("utf8"))).messages; // message.guarita: what Guarita saw
}

/** download() hands out the body of an error page as if it were the file: look at the status. */
async function fetchMedia(mediaId) {
  const response = await client.media.download({ mediaId, as: "response" }); // throws GraphApiError: withheld
  if (!response.ok) throw new Error(`download answered ${response.status}`);
  return Buffer.from(await response.arrayBuffer());
}
// recipe: end

import { createHash } from "node:crypto";
import { createServer } from "node:http";
import { createInterface } from "node:readline";

const tell = (event) => process.stdout.write(`${JSON.stringify(event)}\n`);

const failure = (error) => ({
  error: error.name,
  is_graph_error: error.constructor.name === "GraphApiError",
  code: error.code,
  subcode: error.errorSubcode,
  status: error.httpStatus,
  text: String(error.message).slice(0, 200),
});

async function outcome(fetching) {
  try {
    const bytes = await fetching();
    return { sha256: createHash("sha256").update(bytes).digest("hex"), bytes: bytes.length };
  } catch (error) {
    return failure(error);
  }
}

async function onMessage(message, raw, headers) {
  const media = message.image ?? message.document;
  const downloads = {};
  if (message.image) {
    downloads["its id"] = await outcome(() => fetchMedia(message.image.id));
    downloads["the webhook's url"] = await outcome(async () => {
      const response = await client.rawFetch(message.image.url);
      if (!response.ok) throw new Error(`download answered ${response.status}`);
      return Buffer.from(await response.arrayBuffer());
    });
  }
  let replied = null;
  if (message.type === "text") {
    const sent = await client.messages.sendText({ phoneNumberId: process.env.PHONE_ID, to: message.from, body: "ok" });
    replied = sent.messages?.[0]?.id;
  }
  tell({
    event: "message",
    id: message.id,
    object: "normalizeWebhook().messages",
    type: message.type,
    sender: message.from,
    text: message.text?.body ?? null,
    caption: media?.caption ?? null,
    media_id: media?.id ?? null,
    media_url: media?.url ?? null,
    error: message.errors?.[0]?.code ?? null,
    guarita: message.guarita ?? null,
    raw,
    headers,
    downloads,
    replied,
  });
}

createServer(async (request, response) => {
  const chunks = [];
  for await (const chunk of request) chunks.push(chunk);
  const rawBody = Buffer.concat(chunks);
  let status = 200;
  try {
    const messages = messagesOf(rawBody, request.headers["x-hub-signature-256"]);
    if (messages === null) status = 401;
    for (const message of messages ?? []) await onMessage(message, rawBody.toString("utf8"), request.headers);
  } catch (error) {
    console.error(error);
    status = 500;
  }
  if (status !== 200) tell({ event: "refused", status });
  response.writeHead(status).end();
}).listen(Number(process.env.PORT), "127.0.0.1");

createInterface({ input: process.stdin }).on("line", async (line) => {
  const id = line.trim();
  try {
    const found = await client.media.get({ mediaId: id });
    tell({ event: "looked_up", id, found: { url: found.url, mime_type: found.mimeType ?? found.mime_type } });
  } catch (error) {
    tell({ event: "looked_up", id, found: null, ...failure(error) });
  }
});
