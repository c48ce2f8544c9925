// A browser for the tests: Debian's chromium, headless, driven by puppeteer-core; the seeded console beside it.
import { spawn } from "node:child_process";
import { createHmac } from "node:crypto";
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import path from "node:path";
import puppeteer from "puppeteer-core";

export const HERE = path.dirname(fileURLToPath(import.meta.url));
export const ROOT = path.dirname(path.dirname(HERE));

/** Starts the example console; resolves to what it prints, with `stop`. */
export async function startConsole(hostile) {
  const target = path.resolve(ROOT, process.env.CARGO_TARGET_DIR || "target");
  const binary = process.env.CONSOLE_BIN || path.join(target, "debug/examples/seeded");
  if (!existsSync(binary)) throw new Error(`${binary} is missing: tests/console/run builds it`);
  const child = spawn(binary, hostile ? ["127.0.0.1:0", hostile] : [], { stdio: ["ignore", "pipe", "inherit"] });
  process.on("exit", () => child.kill());
  const line = await new Promise((resolve, reject) => {
    let text = "";
    child.stdout.on("data", (bytes) => {
      text += bytes;
      if (text.includes("\n")) resolve(text.slice(0, text.indexOf("\n")));
    });
    child.once("exit", (code) => reject(new Error(`the console ended with ${code}`)));
  });
  return { ...JSON.parse(line), stop: () => child.kill("SIGINT") };
}

export async function startBrowser() {
  const chromium = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"].find((p) => existsSync(p));
  if (!chromium) throw new Error("chromium is missing: apt-get install chromium");
  return puppeteer.launch({
    executablePath: process.env.CHROMIUM || chromium,
    headless: true,
    args: ["--no-sandbox", "--disable-gpu", "--force-color-profile=srgb", "--hide-scrollbars", "--lang=en"],
  });
}

/** A page in a profile of its own, with what goes wrong on it collected. */
export async function newPage(browser, { width = 1280, height = 800, dark = false, language = "en", script = true } = {}) {
  const context = await browser.createBrowserContext();
  const page = await context.newPage();
  page.troubles = [];
  page.on("pageerror", (error) => page.troubles.push(`script error: ${error.message}`));
  page.on("dialog", async (dialog) => {
    page.troubles.push(`a dialog opened: ${dialog.message()}`);
    await dialog.dismiss();
  });
  page.on("console", (message) => {
    const text = message.text();
    if (message.type() === "error" && !/Failed to load resource.*(40[0-9]|42[0-9])/.test(text)) page.troubles.push(text);
  });
  page.on("request", (request) => {
    const url = request.url();
    if (!url.startsWith("http://127.0.0.1") && !url.startsWith("data:")) page.troubles.push(`asked outside: ${url}`);
  });
  await page.setJavaScriptEnabled(script);
  await page.setViewport({ width, height, deviceScaleFactor: 1, hasTouch: width < 500 });
  await page.emulateMediaFeatures([
    { name: "prefers-color-scheme", value: dark ? "dark" : "light" },
    { name: "prefers-reduced-motion", value: "reduce" },
  ]);
  await page.emulateTimezone("America/Sao_Paulo");
  await page.setExtraHTTPHeaders({ "Accept-Language": language });
  return page;
}

function base32(text) {
  let bits = 0;
  let value = 0;
  const bytes = [];
  for (const char of text.replace(/[=\s]/g, "")) {
    value = (value << 5) | "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567".indexOf(char.toUpperCase());
    bits += 5;
    if (bits >= 8) {
      bits -= 8;
      bytes.push((value >>> bits) & 255);
    }
  }
  return Buffer.from(bytes);
}

/** The app's code, `ahead` steps from now; a code works once, so each log-in takes a later one. */
export function totp(secret, ahead = 0, now = Date.now()) {
  const step = Buffer.alloc(8);
  step.writeBigUInt64BE(BigInt(Math.floor(now / 30000) + ahead));
  const digest = createHmac("sha1", base32(secret)).update(step).digest();
  const at = digest[19] & 15;
  return String((digest.readUInt32BE(at) & 0x7fffffff) % 1000000).padStart(6, "0");
}

/** Logs in with password and a recovery code or the app's code. */
export async function logIn(page, site, name, code) {
  const person = site.people.find((person) => person.name === name);
  await page.goto(site.url + "/login");
  await page.type("#name", person.name);
  await page.type("#password", person.password);
  await Promise.all([page.waitForNavigation(), page.click("button.main")]);
  await page.type("#code", code ?? person.recovery.shift());
  await Promise.all([page.waitForNavigation(), page.click("button.main")]);
}
