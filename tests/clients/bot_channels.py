"""Bots on Python libraries for Messenger, Instagram and Telegram, behind the gateway. `run_channels` starts one by its library's
name, and reads what it saw as JSON lines. What stands between two `recipe` marks is what docs/clients/channels.md shows.
"""

import asyncio
import hashlib
import hmac
import http.server
import json
import os
import sys
import urllib.request

LIBRARY = sys.argv[1]
PORT, DOOR, SECRET = int(os.environ["PORT"]), os.environ["MEDIA_DOOR"], os.environ["BACKEND_SECRET"]
BOT_TOKEN, SECRET_TOKEN = os.environ.get("BOT_TOKEN", ""), os.environ.get("SECRET_TOKEN", "")


def tell(**event):
    print(json.dumps(event), flush=True)


def fetched(url):
    """A download as these libraries leave it to the user: no token, just the url."""
    with urllib.request.urlopen(url, timeout=20) as answer:
        return hashlib.sha256(answer.read()).hexdigest()


def signature_fits(body, headers):
    """fbmessenger has no check of its own: this is the one of Meta's documentation."""
    expected = "sha256=" + hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()
    return hmac.compare_digest(expected, headers.get("X-Hub-Signature-256", ""))


def fbmessenger_handler():
    # recipe fbmessenger: begin
    from fbmessenger import BaseMessenger

    class Bot(BaseMessenger):
        def message(self, message):
            said = message["message"]  # said["guarita"] is what Guarita saw
            files = [one["payload"]["url"] for one in said.get("attachments", [])]  # on Guarita's media door; no token needed
            saw(said["mid"], said.get("text"), files, said.get("guarita"))

        def delivery(self, message): ...
        def optin(self, message): ...
        def postback(self, message): ...
        def read(self, message): ...
        def account_linking(self, message): ...

    bot = Bot(os.environ["GRAPH_TOKEN"], app_secret=SECRET)
    bot.client.graph_url = DOOR + "/v23.0"  # answers pass through Guarita's media door to Graph
    # recipe fbmessenger: end

    def handle(body, headers):
        if not signature_fits(body, headers):
            return 401
        bot.handle(json.loads(body))
        return 200

    return handle


def hiinsta_handler():
    # recipe hiinsta: begin
    from hiinsta.types import Update
    from hiinsta.webhooks import verify_signature

    def handle(body, headers):
        if not verify_signature(SECRET, body, headers.get("X-Hub-Signature-256", "")):
            return 401
        for messaging, _standby in Update.model_validate_json(body).iter_messaging():
            said = messaging.message
            files = [one.media_url for one in said.attachments or []]  # on Guarita's media door; no token needed
            saw(said.mid, said.text, files, said.model_extra.get("guarita"))
        return 200
    # recipe hiinsta: end

    return handle


def saw(mid, text, files, guarita, body=[None]):
    downloads = []
    for url in files:
        try:
            downloads.append(fetched(url))
        except Exception as error:  # the runner judges it
            downloads.append(str(error))
    tell(event="message", id=mid, text=text, files=files, downloads=downloads, guarita=guarita)


def serve(handle):
    class Door(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            try:
                status = handle(body, self.headers)
            except Exception as error:
                tell(event="error", error=repr(error))
                status = 500
            tell(event="post", status=status, raw=body.decode(), headers=dict(self.headers))
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_): ...

    http.server.ThreadingHTTPServer(("127.0.0.1", PORT), Door).serve_forever()


def python_telegram_bot():
    # recipe python-telegram-bot: begin
    from telegram import Update
    from telegram.ext import ApplicationBuilder, MessageHandler, filters

    async def on_message(update, context):
        message = update.message
        guarita = message.api_kwargs.get("guarita", {})  # what Guarita saw
        about = message.document or (message.photo[-1] if message.photo else None)
        if about:
            data = await (await context.bot.get_file(about.file_id)).download_as_bytearray()  # a withheld one: BadRequest, Not Found
        # recipe python-telegram-bot: end
        sha256 = hashlib.sha256(data).hexdigest() if about else None
        answer = await message.reply_text("ok")
        tell(event="message", id=str(update.update_id), text=message.text, downloads=[sha256] if about else [],
             file_id=about.file_id if about else None, guarita=dict(guarita), replied=answer.message_id)

    async def look_up(bot, file_id):
        try:
            await bot.get_file(file_id)
            tell(event="looked_up", id=file_id, error=None)
        except Exception as error:
            tell(event="looked_up", id=file_id, error=f"{type(error).__name__}: {error}")

    # recipe python-telegram-bot: begin
    app = ApplicationBuilder().token(BOT_TOKEN).base_url(DOOR + "/bot").base_file_url(DOOR + "/file/bot").build()
    app.add_handler(MessageHandler(filters.ALL, on_message))
    # recipe python-telegram-bot: end

    async def after(app):
        async def lines():
            loop = asyncio.get_running_loop()
            while line := await loop.run_in_executor(None, sys.stdin.readline):
                await look_up(app.bot, line.strip())
        app.create_task(lines())

    app.post_init = after
    # recipe python-telegram-bot: begin
    app.run_webhook(listen="127.0.0.1", port=PORT, url_path="telegram", secret_token=SECRET_TOKEN,
                    webhook_url="https://bot.example/telegram", stop_signals=None)  # Guarita keeps its own webhook
    # recipe python-telegram-bot: end


def aiogram():
    # recipe aiogram: begin
    from aiohttp import web
    from aiogram import Bot, Dispatcher
    from aiogram.client.session.aiohttp import AiohttpSession
    from aiogram.client.telegram import TelegramAPIServer
    from aiogram.webhook.aiohttp_server import SimpleRequestHandler, setup_application

    bot = Bot(BOT_TOKEN, session=AiohttpSession(api=TelegramAPIServer.from_base(DOOR)))
    dispatcher = Dispatcher()
    # recipe aiogram: end

    @dispatcher.message()
    async def on_message(message, event_update):
        about = message.document or (message.photo[-1] if message.photo else None)
        downloads = []
        if about:
            data = await bot.download(about)
            downloads = [hashlib.sha256(data.read()).hexdigest()]
        answer = await message.answer("ok")
        extra = message.model_extra or {}
        tell(event="message", id=str(event_update.update_id), text=message.text, downloads=downloads,
             file_id=about.file_id if about else None, guarita=extra.get("guarita"), replied=answer.message_id)

    async def lines(_app):
        async def read():
            loop = asyncio.get_running_loop()
            while line := await loop.run_in_executor(None, sys.stdin.readline):
                try:
                    await bot.get_file(line.strip())
                    tell(event="looked_up", id=line.strip(), error=None)
                except Exception as error:
                    tell(event="looked_up", id=line.strip(), error=f"{type(error).__name__}: {error}")
        asyncio.get_running_loop().create_task(read())

    # recipe aiogram: begin
    app = web.Application()
    # `handle_in_background=True`, the default, answers at once; an answer in the body would reach nobody behind Guarita.
    SimpleRequestHandler(dispatcher, bot, secret_token=SECRET_TOKEN).register(app, path="/telegram")
    setup_application(app, dispatcher, bot=bot)
    # recipe aiogram: end
    app.on_startup.append(lines)
    # recipe aiogram: begin
    web.run_app(app, host="127.0.0.1", port=PORT, print=None)
    # recipe aiogram: end


if __name__ == "__main__":
    if LIBRARY == "python-telegram-bot":
        python_telegram_bot()
    elif LIBRARY == "aiogram":
        aiogram()
    else:
        serve({"fbmessenger": fbmessenger_handler, "hiinsta": hiinsta_handler}[LIBRARY]())
