// A bot on whatsapp-api-js, behind the gateway. `run` starts it, reads what it saw as JSON lines, and asks it for look-ups
// on stdin. What stands between the two `recipe` marks is what docs/clients/whatsapp-api-js.md shows; `run` checks it.

// recipe: begin
import { createServer } from "node:http";
import { WhatsAppAPI } from "whatsapp-api-js/middleware/node-http";
import { Text } from "whatsapp-api-js/messages";

const GRAPH = "https://graph.facebook.com";
const door = process.env.MEDIA_DOOR; // Guarita's media.public_url

const bot = new WhatsAppAPI({
  token: process.env.GRAPH_TOKEN,
  appSecret: process.env.BACKEND_SECRET, // Guarita's backend.secret; without one, receive.app_secret
  webhookVerifyToken: process.env.VERIFY_TOKEN,
  v: "v23.0",
  // The library has no parameter for Graph's address: its fetch is where to change it.
  ponyfill: {
    fetch: (url, options) => {
      const wanted = String(url);
      return fetch(wanted.startsWith(`${GRAPH}/`) ? door + wanted.slice(GRAPH.length) : wanted, options);
    },
  },
});

async function fetchMedia(id) {
  const found = await bot.retrieveMedia(id);
  if (found.error) throw Object.assign(new Error(found.error.message), found.error); // 404: withheld
  const response = await bot.fetchMedia(found.url);
  if (!response.ok) throw new Error(`download answered ${response.status}`);
  return Buffer.from(await response.arrayBuffer());
}
// recipe: end

import { createHash } from "node:crypto";
import { createInterface } from "node:readline";

const tell = (event) => process.stdout.write(`${JSON.stringify(event)}\n`);

async function outcome(fetching) {
  try {
    const bytes = await fetching();
    return { sha256: createHash("sha256").update(bytes).digest("hex"), bytes: bytes.length };
  } catch (error) {
    return { error: error.name, code: error.code, subcode: error.error_subcode, text: String(error.message).slice(0, 200) };
  }
}

let headers = {};

bot.on.message = async ({ message, from, raw, reply }) => {
  const media = message.image ?? message.document;
  const downloads = {};
  if (message.image) {
    downloads["its id"] = await outcome(() => fetchMedia(message.image.id));
    downloads["the webhook's url"] = await outcome(async () => {
      const response = await bot.fetchMedia(message.image.url);
      if (!response.ok) throw new Error(`download answered ${response.status}`);
      return Buffer.from(await response.arrayBuffer());
    });
  }
  const replied = message.type === "text" ? (await reply(new Text("ok"))).messages?.[0]?.id : null;
  tell({
    event: "message",
    id: message.id,
    object: "on.message",
    type: message.type,
    sender: from,
    text: message.text?.body ?? null,
    caption: media?.caption ?? null,
    media_id: media?.id ?? null,
    media_url: media?.url ?? null,
    error: message.errors?.[0]?.code ?? null,
    guarita: message.guarita ?? null,
    raw: JSON.stringify(raw),
    headers,
    downloads,
    replied,
  });
};

createServer(async (request, response) => {
  if (request.method === "GET") {
    try {
      response.end(bot.handle_get(request));
    } catch (status) {
      response.writeHead(status).end();
    }
    return;
  }
  headers = request.headers; // the runner sends one message at a time
  response.statusCode = await bot.handle_post(request);
  if (response.statusCode !== 200) tell({ event: "refused", status: response.statusCode });
  response.end();
}).listen(Number(process.env.PORT), "127.0.0.1");

createInterface({ input: process.stdin }).on("line", async (line) => {
  const id = line.trim();
  const found = await bot.retrieveMedia(id);
  const error = found.error;
  tell(
    error
      ? { event: "looked_up", id, found: null, is_graph_error: true, error: error.type, code: error.code, subcode: error.error_subcode }
      : { event: "looked_up", id, found: { url: found.url, mime_type: found.mime_type } },
  );
});
