#!/usr/bin/env python3
"""A soak: all kinds of traffic at a steady rate through a real gateway with a real clamd, between stand-ins of its own.

Memory, descriptors, disk and latency go to a CSV every few seconds. At the end everything that was answered 200 must have
reached the backend once, and memory and descriptors must not have grown. Only Python's standard library is needed.
"""
import argparse, base64, collections, csv, hashlib, hmac, http.client, http.server, json, os, queue, random, re
import shutil, socket, subprocess, sys, tempfile, threading, time, zlib

APP_SECRET, BACKEND_SECRET, TOKEN = b"soak-app-secret", b"soak-backend-secret", "soak-graph-token"
EICAR = "".join(["X5O!P%@AP[4\\PZX54(P^)7CC)7}$", "EICAR-STANDARD-ANTIVIRUS-TEST-FILE", "!$H+H*"]).encode()

lock = threading.Lock()
sent_at, arrived, refused = {}, collections.Counter(), collections.Counter()
acks, ends = [], []


def chunk(kind, data):
    return len(data).to_bytes(4, "big") + kind + data + zlib.crc32(kind + data).to_bytes(4, "big")


def content(media_id):
    """By the id's last digit: pictures, documents, programs, viruses; each one different from every other."""
    salt = media_id.encode()
    kind = int(media_id[-1])
    if kind < 5:
        row = b"\0" + hashlib.sha256(salt).digest() * 12
        pixels = zlib.compress(row[:385] * 96)
        head = (128).to_bytes(4, "big") + (96).to_bytes(4, "big") + b"\x08\x02\0\0\0"
        return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"tEXt", b"id\0" + salt) + chunk(b"IDAT", pixels) + chunk(b"IEND", b""), "image/png", "image"
    if kind < 8:
        text = b"BT /F1 12 Tf 72 720 Td (" + salt + b") Tj ET" + b" " * (20_000 + 1000 * kind)
        return b"%PDF-1.4\n1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj\n2 0 obj<</Type/Pages/Kids[3 0 R]/Count 1>>endobj\n" \
            b"3 0 obj<</Type/Page/Parent 2 0 R/MediaBox[0 0 612 792]/Contents 4 0 R>>endobj\n4 0 obj<</Length " + \
            str(len(text)).encode() + b">>stream\n" + text + b"\nendstream endobj\ntrailer<</Root 1 0 R>>\n%%EOF\n", "application/pdf", "document"
    if kind == 8:
        return b"MZ" + bytes(58) + b"\x80\0\0\0" + bytes(64) + b"PE\0\0\x64\x86" + salt * 50, "application/pdf", "document"
    return EICAR, "text/plain", "document"


class Quiet(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def say(self, status, body=b"", kind="application/json"):
        self.send_response(status)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


class Graph(Quiet):
    def do_GET(self):
        media_id = re.search(r"(\d{6,})", self.path).group(1)
        body, mime, _ = content(media_id)
        if self.path.startswith("/file/"):
            return self.say(200, body, mime)
        url = f"http://{self.headers['host']}/file/{media_id}"
        self.say(200, json.dumps({"url": url, "mime_type": mime, "sha256": hashlib.sha256(body).hexdigest(),
                                  "file_size": len(body), "id": media_id, "messaging_product": "whatsapp"}).encode())


class Backend(Quiet):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        now = time.time()
        good = "sha256=" + hmac.new(BACKEND_SECRET, body, hashlib.sha256).hexdigest()
        if self.headers["x-hub-signature-256"] != good:
            refused["signature at the backend"] += 1
        with lock:
            for name in set(re.findall(rb'"id":\s*"(wamid\.S\d+)"', body)):
                name = name.decode()
                arrived[name] += 1
                if name in sent_at:
                    ends.append((now, now - sent_at[name], b'"files":[{' in body))
        # A few in a thousand are asked for again.
        self.say(500 if random.random() < 0.003 else 200)


def envelope(**lists):
    value = {"messaging_product": "whatsapp", "metadata": {"display_phone_number": "15550783881", "phone_number_id": "106540352242922"}, **lists}
    return json.dumps({"object": "whatsapp_business_account", "entry": [{"id": "102290129340398", "changes": [{"value": value, "field": "messages"}]}]}).encode()


def delivery(number, file_share):
    name, who = f"wamid.S{number}", f"55119{random.randrange(2000):08}"
    kind = random.random()
    message = {"from": who, "id": name, "timestamp": str(int(time.time()))}
    if kind < 0.10:
        return name, envelope(statuses=[{"id": name, "status": "read", "timestamp": "1763800000", "recipient_id": who}])
    if kind < 0.10 + file_share:
        media_id = f"9{number:08}{random.randrange(10)}"
        body, mime, what = content(media_id)
        digest = base64.b64encode(hashlib.sha256(body).digest()).decode()
        message |= {"type": what, what: {"id": media_id, "mime_type": mime, "sha256": digest, "caption": "segue"}}
    elif kind < 0.25 + file_share:
        links = ["https://www.example.org/pedido/%d", "https://correios-taxa-%d.top/pague", "bit.ly/x%d", "https://xn--bradsco-3ya%d.com"]
        message |= {"type": "text", "text": {"body": "veja " + random.choice(links) % number}}
    else:
        message |= {"type": "text", "text": {"body": f"Bom dia, o pedido {number} chegou? " * random.randrange(1, 6)}}
    return name, envelope(contacts=[{"profile": {"name": "Ana"}, "wa_id": who}], messages=[message])


def sender(port, work):
    connection = None
    while True:
        name, body = work.get()
        headers = {"content-type": "application/json", "x-hub-signature-256": "sha256=" + hmac.new(APP_SECRET, body, hashlib.sha256).hexdigest()}
        while True:
            began = time.time()
            try:
                connection = connection or http.client.HTTPConnection("127.0.0.1", port, timeout=15)
                connection.request("POST", "/webhook", body, headers)
                answer = connection.getresponse()
                answer.read()
                status = answer.status
            except (OSError, http.client.HTTPException):
                connection, status = None, 0
            with lock:
                if status == 200:
                    acks.append((began, time.time() - began))
                    sent_at.setdefault(name, began)
                else:
                    refused[status] += 1
            if status == 200:
                break
            time.sleep(0.5)
        work.task_done()


def family(pid):
    pids, children = [pid], collections.defaultdict(list)
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                children[int(open(f"/proc/{entry}/stat").read().rsplit(")", 1)[1].split()[1])].append(int(entry))
            except OSError:
                pass
    for one in pids:
        pids.extend(children[one])
    return pids


def rss(pid):
    try:
        return int(re.search(r"VmRSS:\s+(\d+)", open(f"/proc/{pid}/status").read()).group(1)) / 1024
    except (OSError, AttributeError):
        return 0


def name_of(pid):
    try:
        words = open(f"/proc/{pid}/cmdline").read().split("\0")
        return "clamd" if "clamd" in words[0] else "worker" if "file-worker" in words else "gateway"
    except OSError:
        return "gone"


def quantile(values, part):
    values = sorted(values)
    return round(values[min(len(values) - 1, int(len(values) * part))] * 1000, 1) if values else ""


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def serve(handler):
    class Server(http.server.ThreadingHTTPServer):
        daemon_threads, request_queue_size = True, 512
    server = Server(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server.server_address[1]


def main():
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--guarita", default="target/release/guarita")
    options.add_argument("--minutes", type=float, default=30)
    options.add_argument("--rate", type=float, default=100, help="deliveries a second")
    options.add_argument("--every", type=float, default=10, help="seconds between samples")
    options.add_argument("--csv", default="soak.csv")
    options.add_argument("--files", type=float, default=0.10, help="share with a file; 0.8 fills the caches of inspections in minutes")
    asked = options.parse_args()
    folder = tempfile.mkdtemp(prefix="guarita-soak-")
    graph, backend = serve(Graph), serve(Backend)
    public, media, console = free_port(), free_port(), free_port()
    config = os.path.join(folder, "guarita.toml")
    with open(config, "w") as out:
        out.write(f"""[receive]
listen = "127.0.0.1:{public}"
verify_token = "soak"
app_secret = "{APP_SECRET.decode()}"
[graph]
base_url = "http://127.0.0.1:{graph}"
access_token = "{TOKEN}"
media_hosts = ["127.0.0.1:{graph}"]
[backend]
url = "http://127.0.0.1:{backend}/webhook"
secret = "{BACKEND_SECRET.decode()}"
[media]
listen = "127.0.0.1:{media}"
public_url = "http://127.0.0.1:{media}"
[storage]
path = "{folder}/data"
[console]
listen = "127.0.0.1:{console}"
""")
    log = open(os.path.join(folder, "log"), "w")
    environment = {**os.environ, "GUARITA__CLAMAV__FRESHCLAM__ENABLED": "false"}
    gateway = subprocess.Popen([asked.guarita, "--config", config, "run"], stderr=log, stdout=log, env=environment)

    def ask(path):
        connection = http.client.HTTPConnection("127.0.0.1", console, timeout=10)
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()

    failures = []
    try:
        end = time.time() + 120
        while True:
            try:
                if ask("/readyz")[0] == 200:
                    break
            except OSError:
                pass
            if gateway.poll() is not None or time.time() > end:
                sys.exit("not ready: " + open(log.name).read()[-3000:])
            time.sleep(0.2)
        work = queue.Queue(2000)
        for _ in range(48):
            threading.Thread(target=sender, args=(public, work), daemon=True).start()
        began, number, sample = time.time(), 0, 0
        rows, again = [], []
        columns = ["second", "sent", "arrived", "acks_s", "ack_p50_ms", "ack_p99_ms", "text_p50_ms", "text_p99_ms", "file_p50_ms",
                   "file_p99_ms", "gateway_mib", "clamd_mib", "workers_mib", "workers", "descriptors", "disk_mib", "unfinished", "refused"]
        out = open(asked.csv, "w", newline="")
        table = csv.writer(out)
        table.writerow(columns)
        while time.time() - began < asked.minutes * 60:
            if again and random.random() < 0.05:
                work.put(random.choice(again))
            name, body = delivery(number, asked.files)
            again = again[-500:] + [(name, body)]
            work.put((name, body))
            number += 1
            time.sleep(max(0, began + number / asked.rate - time.time()))
            if time.time() - began < (sample + 1) * asked.every:
                continue
            sample += 1
            pids = family(gateway.pid)
            memory = collections.Counter()
            for pid in pids:
                memory[name_of(pid)] += rss(pid)
            with lock:
                since = time.time() - asked.every
                window = [took for at, took in acks if at > since]
                texts = [took for at, took, file in ends if at > since and not file]
                files = [took for at, took, file in ends if at > since and file]
                acks[:], ends[:] = [one for one in acks if one[0] > since], [one for one in ends if one[0] > since]
                there, errors = len(arrived), dict(refused)
            metrics = ask("/metrics")[1]
            waiting = sum(int(float(found)) for found in re.findall(r'guarita_spool_entries\{state="(?:received|decided)"\} (\S+)', metrics))
            disk = sum(os.path.getsize(os.path.join(at, one)) for at, _, names in os.walk(folder + "/data") for one in names if os.path.exists(os.path.join(at, one)))
            row = [round(time.time() - began), number, there, round(len(window) / asked.every, 1), quantile(window, .5), quantile(window, .99),
                   quantile(texts, .5), quantile(texts, .99), quantile(files, .5), quantile(files, .99), round(memory["gateway"], 1),
                   round(memory["clamd"], 1), round(memory["worker"], 1), sum(name_of(pid) == "worker" for pid in pids),
                   len(os.listdir(f"/proc/{gateway.pid}/fd")), round(disk / 1048576, 1), waiting, json.dumps(errors)]
            rows.append(row)
            table.writerow(row)
            out.flush()
            print(*row, flush=True)
        work.join()
        end = time.time() + 180
        while len(arrived) < number and time.time() < end:
            time.sleep(0.5)
        missing = [f"wamid.S{one}" for one in range(number) if f"wamid.S{one}" not in arrived]
        if missing:
            failures.append(f"{len(missing)} of {number} were answered 200 and did not arrive, such as {missing[:5]}")
        if refused["signature at the backend"]:
            failures.append("deliveries were signed wrongly")
        half = len(rows) // 2
        for column in ("gateway_mib", "descriptors"):
            at = columns.index(column)
            before = sum(row[at] for row in rows[half // 2:half]) / max(1, half - half // 2)
            after = sum(row[at] for row in rows[-max(1, half // 2):]) / max(1, half // 2)
            print(f"{column}: second quarter {before:.1f}, last quarter {after:.1f}")
            if after > before * 1.25 + 10:
                failures.append(f"{column} grew from {before:.1f} to {after:.1f}")
        twice = sum(count - 1 for count in arrived.values())
        print(f"{number} sent, {len(arrived)} arrived, {twice} attempts more than that (asked for by the backend), answers other than 200: {dict(refused)}")
    finally:
        gateway.terminate()
        try:
            gateway.wait(30)
        except subprocess.TimeoutExpired:
            gateway.kill()
        shutil.rmtree(folder, ignore_errors=True)
    for failure in failures:
        print("FAILED:", failure)
    sys.exit(1 if failures else 0)


main()
