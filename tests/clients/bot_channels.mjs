// Bots on JavaScript libraries for Messenger and Telegram, behind the gateway; see bot_channels.py.
import { createHash } from "node:crypto";
import { createServer } from "node:http";
import { createInterface } from "node:readline";

const library = process.argv[2];
const { PORT, MEDIA_DOOR, BACKEND_SECRET, GRAPH_TOKEN, BOT_TOKEN, SECRET_TOKEN } = process.env;
const tell = (event) => console.log(JSON.stringify(event));
const sha256 = (bytes) => createHash("sha256").update(Buffer.from(bytes)).digest("hex");

async function fetched(url) {
  try {
    const answer = await fetch(url);
    return answer.ok ? sha256(await answer.arrayBuffer()) : `status ${answer.status}`;
  } catch (error) {
    return String(error);
  }
}

async function botly() {
  // recipe botly: begin
  const { default: Botly } = await import("botly");
  const { default: express } = await import("express");

  const bot = new Botly({ accessToken: GRAPH_TOKEN, verifyToken: "v", webHookPath: "/webhook", FB_URL: `${MEDIA_DOOR}/v23.0/` });
  const app = express();
  // botly checks the older X-Hub-Signature, which Guarita sends beside X-Hub-Signature-256
  app.use(express.json({ verify: bot.getVerifySignature(BACKEND_SECRET) }));
  app.use(bot.router());
  // recipe botly: end
  const saw = async (said, urls) => {
    const downloads = await Promise.all(urls.map(fetched));
    tell({ event: "message", id: said.mid, text: said.text ?? null, files: urls, downloads, guarita: said.guarita });
  };
  // recipe botly: begin
  bot.on("message", (sender, message, data) => {
    const urls = Object.values(data.attachments ?? {}).flat(); // on Guarita's media door; no token needed
    saw(message.message, urls); // message.message.guarita is what Guarita saw
  });
  // recipe botly: end
  bot.on("error", (error) => tell({ event: "error", error: String(error) }));
  bot.on("complete_message", (body) => tell({ event: "post", raw: JSON.stringify(body) }));
  app.use((error, request, response, next) => { tell({ event: "refused" }); response.sendStatus(401); });
  app.listen(Number(PORT), "127.0.0.1");
}

async function grammy() {
  // recipe grammy: begin
  const { Bot, webhookCallback } = await import("grammy");

  const bot = new Bot(BOT_TOKEN, { client: { apiRoot: MEDIA_DOOR, canUseWebhookReply: () => false } });
  bot.on("message", async (context) => {
    const about = context.message.document ?? context.message.photo?.at(-1);
    const file = about && (await context.api.getFile(about.file_id)); // a withheld one: GrammyError 404
    const url = file && `${MEDIA_DOOR}/file/bot${BOT_TOKEN}/${file.file_path}`;
    const answer = await context.reply("ok");
    // recipe grammy: end
    tell({ event: "message", id: String(context.update.update_id), text: context.message.text, file_id: about?.file_id ?? null,
      downloads: url ? [await fetched(url)] : [], guarita: context.message.guarita, replied: answer.message_id });
    // recipe grammy: begin
  });
  const handle = webhookCallback(bot, "http", { secretToken: SECRET_TOKEN });
  // recipe grammy: end
  lookUps((id) => bot.api.getFile(id));
  createServer((request, response) => handle(request, response).catch((error) => { tell({ event: "error", error: String(error) }); response.end(); }))
    .listen(Number(PORT), "127.0.0.1");
}

async function telegraf() {
  // recipe telegraf: begin
  const { Telegraf } = await import("telegraf");

  const bot = new Telegraf(BOT_TOKEN, { telegram: { apiRoot: MEDIA_DOOR, webhookReply: false } });
  bot.on("message", async (context) => {
    const about = context.message.document ?? context.message.photo?.at(-1);
    const url = about && (await context.telegram.getFileLink(about.file_id)); // a withheld one: TelegramError 404
    const answer = await context.reply("ok");
    // recipe telegraf: end
    tell({ event: "message", id: String(context.update.update_id), text: context.message.text, file_id: about?.file_id ?? null,
      downloads: url ? [await fetched(url)] : [], guarita: context.message.guarita, replied: answer.message_id });
    // recipe telegraf: begin
  });
  const handle = bot.webhookCallback("/telegram", { secretToken: SECRET_TOKEN });
  // recipe telegraf: end
  lookUps((id) => bot.telegram.getFileLink(id));
  bot.catch((error) => tell({ event: "error", error: String(error) }));
  bot.botInfo = await bot.telegram.getMe();
  createServer(handle).listen(Number(PORT), "127.0.0.1");
}

function lookUps(ask) {
  createInterface({ input: process.stdin }).on("line", async (id) => {
    try {
      await ask(id);
      tell({ event: "looked_up", id, error: null });
    } catch (error) {
      tell({ event: "looked_up", id, error: String(error) });
    }
  });
}

await { botly, grammy, telegraf }[library]();
