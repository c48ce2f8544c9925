#!/usr/bin/env python3
"""A crowd at the public door: idle connections, connections that drip a byte a second, and one customer who behaves.

Prints memory, descriptors and the time to the 200 before, during and after. Only Python's standard library is needed.
"""
import argparse, asyncio, hashlib, hmac, json, os, re, resource, shutil, socket, subprocess, sys, tempfile, time

SECRET = b"crowd-secret"


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def memory(pid):
    return int(re.search(r"VmRSS:\s+(\d+)", open(f"/proc/{pid}/status").read()).group(1)) / 1024


async def open_one(port, first=b""):
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    if first:
        writer.write(first)
        await writer.drain()
    return reader, writer


async def drip(writer):
    try:
        while True:
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(1)
    except OSError:
        pass


async def behave(port, name, times):
    took = []
    for number in range(times):
        body = json.dumps({"object": "whatsapp_business_account", "entry": [{"id": "1", "changes": [{"field": "messages", "value": {
            "messaging_product": "whatsapp", "metadata": {"phone_number_id": "1"},
            "messages": [{"from": "5511900000000", "id": f"wamid.{name}{number}", "timestamp": "1", "type": "text", "text": {"body": "oi"}}]}}]}]}).encode()
        sign = hmac.new(SECRET, body, hashlib.sha256).hexdigest()
        began = time.time()
        reader, writer = await open_one(port, f"POST /webhook HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\nx-hub-signature-256: sha256={sign}\r\n"
                                        f"content-length: {len(body)}\r\nconnection: close\r\n\r\n".encode() + body)
        status = await asyncio.wait_for(reader.readline(), 30)
        took.append(time.time() - began)
        assert b" 200 " in status, status
        writer.close()
    took.sort()
    return f"median {took[len(took) // 2] * 1000:.1f} ms, worst {took[-1] * 1000:.1f} ms"


async def main():
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--guarita", default="target/release/guarita")
    options.add_argument("--idle", type=int, default=10_000)
    options.add_argument("--slow", type=int, default=2_000)
    asked = options.parse_args()
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    folder, public, console = tempfile.mkdtemp(prefix="guarita-crowd-"), free_port(), free_port()
    with open(folder + "/guarita.toml", "w") as out:
        out.write(f'[receive]\nlisten = "127.0.0.1:{public}"\nverify_token = "v"\napp_secret = "{SECRET.decode()}"\n[graph]\naccess_token = "t"\n'
                  f'[backend]\nurl = "http://127.0.0.1:1/"\n[media]\nenabled = false\n[clamav]\naddress = "unix:/nowhere"\n'
                  f'[storage]\npath = "{folder}/data"\n[console]\nlisten = "127.0.0.1:{console}"\n')
    gateway = subprocess.Popen([asked.guarita, "--config", folder + "/guarita.toml", "run"], stderr=subprocess.DEVNULL)
    try:
        for _ in range(400):
            try:
                (await open_one(public))[1].close()
                break
            except OSError:
                await asyncio.sleep(0.1)

        def look(when, acks):
            fds = len(os.listdir(f"/proc/{gateway.pid}/fd"))
            print(f"{when:<38} {memory(gateway.pid):7.1f} MiB {fds:6} descriptors   200 after: {acks}", flush=True)
        look("alone", await behave(public, "a", 200))
        held = [await open_one(public) for _ in range(asked.idle)]
        look(f"{asked.idle} idle connections", await behave(public, "b", 200))
        head = b"POST /webhook HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\nx-hub-signature-256: sha256=00\r\ncontent-length: 4000000\r\n\r\n{"
        slow = [await open_one(public, head) for _ in range(asked.slow)]
        drips = [asyncio.create_task(drip(writer)) for _, writer in slow]
        await asyncio.sleep(3)
        look(f"and {asked.slow} that drip", await behave(public, "c", 200))
        for one in drips:
            one.cancel()
        for _, writer in held + slow:
            writer.close()
        await asyncio.sleep(2)
        look("all gone", await behave(public, "d", 200))
    finally:
        gateway.terminate()
        gateway.wait(30)
        shutil.rmtree(folder, ignore_errors=True)


asyncio.run(main())
