// The console in a real browser. One line a check; exit code 1 if one failed.
//     tests/console/run            builds the example console, installs what the test needs, runs this
import { createRequire } from "node:module";
import { readFileSync } from "node:fs";
import path from "node:path";
import { HERE, logIn, newPage, startBrowser, startConsole, totp } from "./browser.mjs";

const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
let failed = 0;
let passed = 0;
function check(what, right, detail = "") {
  if (right) passed += 1;
  else failed += 1;
  if (!right || process.env.VERBOSE) console.log(`${right ? "ok  " : "FAIL"}  ${what}${right ? "" : `  ${detail}`}`);
}
const text = (page, selector) => page.$eval(selector, (element) => element.textContent.trim()).catch(() => "");
const has = async (page, selector) => (await page.$(selector)) !== null;
const go = (page, press) => Promise.all([page.waitForNavigation(), press()]);

const hostile = path.join(HERE, "payloads.txt");
const site = await startConsole(hostile);
const browser = await startBrowser();
const PAGES = {
  overview: "/", messages: "/messages", found: "/messages?verdict=malicious&q=malware", none: "/messages?q=nothing-has-this",
  message: `/messages/${site.ids.parcel}`, contents: `/messages/${site.ids.parcel}/contents`, held: `/messages/${site.ids.worm}`,
  waiting: `/messages/${site.ids.waiting}`, quarantine: "/quarantine", released: "/quarantine?shown=released",
  deliveries: "/deliveries", rules: "/rules", lists: "/lists", health: "/health", audit: "/audit?verify=1",
  people: "/people", account: "/account", second: "/account/second-step", refused: "/messages/NOSUCH",
  picture: `/messages/${site.ids.photo}/files/${site.virus}/preview`, members: `/messages/${site.ids.worm}/files/${site.virus}/preview`,
  letters: `/messages/${site.ids.virus}/files/${site.virus}/preview`,
};

async function logInWithTheApp() {
  const page = await newPage(browser);
  const ana = site.people.find((person) => person.name === "ana");
  const answer = await page.goto(`${site.url}/messages/${site.ids.worm}`);
  check("who is not logged in is led to the log-in", page.url().includes("/login?next="), page.url());
  const headers = answer.headers();
  check("nothing is kept by caches", headers["cache-control"] === "no-store");
  check("the policy forbids everything else", /default-src 'none'/.test(headers["content-security-policy"]) && !/unsafe/.test(headers["content-security-policy"]));
  await page.type("#name", "ana");
  await page.type("#password", "wrong wrong wrong");
  await go(page, () => page.keyboard.press("Enter"));
  check("a wrong password is refused in words", (await text(page, ".problem")).length > 10);
  check("the name stays typed", (await page.$eval("#name", (field) => field.value)) === "ana");
  await page.type("#password", ana.password);
  await go(page, () => page.keyboard.press("Enter"));
  const before = (await page.cookies()).find((cookie) => cookie.name === "guarita");
  check("half way in, no page opens", (await page.goto(site.url + "/messages"), page.url().includes("/login/code")));
  await page.goto(`${site.url}/login/code?next=/messages/${site.ids.worm}`);
  await page.type("#code", "000000");
  await go(page, () => page.keyboard.press("Enter"));
  check("a wrong code is refused", await has(page, ".problem"));
  const code = totp(ana.totp, 1);
  await page.type("#code", code);
  await go(page, () => page.keyboard.press("Enter"));
  check("the app's code lets in, and on to where one was going", page.url().endsWith(site.ids.worm), page.url());
  const after = (await page.cookies()).find((cookie) => cookie.name === "guarita");
  check("the session changes its secret at the second step", before && after && before.value !== after.value);
  check("the cookie is not for scripts", after.httpOnly && after.sameSite === "Lax");
  const other = await newPage(browser);
  await other.goto(site.url + "/login");
  await other.type("#name", "ana");
  await other.type("#password", ana.password);
  await go(other, () => other.keyboard.press("Enter"));
  await other.type("#code", code);
  await go(other, () => other.keyboard.press("Enter"));
  check("a code does not work twice", await has(other, ".problem"));
  await other.browserContext().close();
  check("no trouble on the way in", page.troubles.length === 0, page.troubles.join(" | "));
  return page;
}

async function releaseWhatWasHeld(page) {
  await page.goto(site.url + "/");
  const held = Number(await text(page, '.nav a[data-place="quarantine"] .count').then((t) => t.replace(/\D.*/, "")));
  check("the side bar counts what is held", held > 0);
  await go(page, () => page.click('a[href="/quarantine"].small'));
  await go(page, () => page.click(`a[href="/messages/${site.ids.worm}"]`));
  check("it says why", (await text(page, ".finding strong.grow")) === "Known malware");
  check("and where inside the file", (await text(page, ".finding")).includes("Fatura_2026-11.pdf.lnk"));
  check("links of the evidence are broken", (await text(page, "#finding-2")).includes("hxxp://198[.]51[.]100[.]7"));
  await page.keyboard.press("r");
  await page.waitForSelector("#release:popover-open");
  const focused = await page.evaluate(() => document.activeElement.name);
  check("the box takes the focus to the reason", focused === "reason", focused);
  await page.click("#release button.main");
  check("without a reason nothing is sent", page.url().endsWith(site.ids.worm) && (await has(page, "#release:popover-open")));
  await page.type("#release textarea", "the supplier called: it is the training file");
  await go(page, () => page.click("#release button.main"));
  check("it says that it was released", (await text(page, ".banner.good")).startsWith("Released"));
  check("the message says by whom", (await text(page, ".head")).includes("released by ana"));
  await page.goto(site.url + "/audit");
  const row = await text(page, "tbody tr");
  check("the audit has who, what and why", row.includes("ana") && row.includes("released") && row.includes("training file"), row);
  await page.goto(site.url + "/quarantine?shown=released");
  check("it stands among the released", await has(page, `a[href="/messages/${site.ids.worm}"]`));
  check("no trouble while releasing", page.troubles.length === 0, page.troubles.join(" | "));
}

async function severalAtOnce(page) {
  await page.goto(site.url + "/quarantine");
  await page.type("#chosen-reason", "seen by two people");
  await go(page, () => page.click("button[value=release]"));
  check("nothing chosen is said so", (await text(page, ".banner.bad")).length > 5);
  await page.click(`input[value="${site.ids.worm2}"]`);
  await page.type("#chosen-reason", "seen by two people");
  await go(page, () => page.click("button[value=delete]"));
  check("what was chosen is deleted", (await text(page, ".banner.good")).includes("deleted"));
}

async function download(page) {
  await page.goto(`${site.url}/messages/${site.ids.virus}`);
  const answer = await page.evaluate(async () => {
    const form = document.querySelector('form[action$="/download"]');
    const body = new URLSearchParams(new FormData(form));
    body.set("reason", "for the laboratory");
    const answer = await fetch(form.action, { method: "POST", body });
    const bytes = new Uint8Array(await answer.arrayBuffer());
    return { type: answer.headers.get("content-type"), name: answer.headers.get("content-disposition"), magic: [...bytes.slice(0, 4)], flags: bytes[6] };
  });
  check("a file comes as an encrypted zip", answer.type === "application/zip" && answer.magic.join() === "80,75,3,4" && (answer.flags & 1) === 1, JSON.stringify(answer));
  check("under a plain name", /^attachment; filename="guarita-[\w-]+\.zip"$/.test(answer.name), answer.name);
}

async function previews(page) {
  const asked = [];
  const hear = (request) => asked.push(request.url());
  await page.goto(`${site.url}/messages/${site.ids.photo}`);
  check("nothing is drawn before it is asked for", !(await has(page, "img")));
  page.on("request", hear);
  await go(page, () => page.click('a[href*="/preview"]'));
  const picture = await page.$eval("img.preview", (img) => ({ width: img.naturalWidth, height: img.naturalHeight, src: img.src.slice(0, 22), alt: img.alt }));
  check("the picture is drawn", picture.width === 320 && picture.height === 200 && picture.alt.length > 5, JSON.stringify(picture));
  check("from numbers in the page, not from an address", picture.src === "data:image/png;base64,");
  page.off("request", hear);
  const elsewhere = asked.filter((url) => !url.startsWith(site.url + "/messages/") && !url.startsWith(site.url + "/assets/") && !url.startsWith("data:image/png"));
  check("and nothing else is fetched", elsewhere.length === 0, elsewhere.join(" "));
  await page.goto(`${site.url}/messages/${site.ids.worm}/files/${site.virus}/preview`);
  check("an archive lists what it holds", (await page.$$eval(".members li", (rows) => rows.length)) === 4);
  for (const id of [site.ids.worm, site.ids.virus]) {
    await page.goto(`${site.url}/messages/${id}/files/${site.virus}/preview`);
    check("nothing of a preview is markup", (await page.evaluate(foreign)).length === 0);
  }
  check("text is text", (await text(page, ".preview-text")).includes("<script>alert(1)</script>"));
  await page.goto(site.url + "/audit");
  check("each look is in the audit", (await text(page, "tbody tr")).includes("preview"));
  check("no trouble with previews", page.troubles.length === 0, page.troubles.join(" | "));
}

async function viewerMayNot() {
  const page = await newPage(browser);
  await logIn(page, site, "vera");
  await page.goto(`${site.url}/messages/${site.ids.virus}`);
  check("a viewer sees no way to release", !(await has(page, "#release")) && !(await has(page, "#delete")) && !(await has(page, 'form[action$="/download"]')));
  check("a viewer sees no number", !(await page.content()).includes("5521912345678"));
  check("nor a name", !(await page.content()).includes("Bruno Lima"));
  const csrf = await page.$eval("input[name=csrf]", (field) => field.value);
  const tries = [
    ["POST", `/messages/${site.ids.virus}/release`], ["POST", `/messages/${site.ids.virus}/delete`], ["POST", `/messages/${site.ids.dead}/retry`],
    ["POST", `/messages/${site.ids.virus}/files/${site.virus}/download`], ["GET", `/messages/${site.ids.virus}/files/${site.virus}/preview`], ["GET", `/messages/${site.ids.virus}/contents`],
    ["GET", "/messages?sender=5521912345678"], ["GET", "/audit"], ["GET", "/audit/export"], ["GET", "/people"], ["POST", "/people"],
    ["POST", "/people/ana/reset"], ["POST", "/people/vera/change"], ["POST", "/people/tokens"], ["POST", "/lists"], ["POST", "/lists/1/remove"],
    ["POST", "/deliveries/replay"], ["POST", "/rules/try"], ["POST", "/health/reload"], ["POST", "/health/rescan"], ["POST", "/health/erase"],
    ["POST", "/health/test-alert"], ["POST", "/quarantine"],
  ];
  for (const [method, address] of tries) {
    const status = await page.evaluate(async (method, address, csrf, id) => {
      const fields = { csrf, reason: "because I say so", id, act: "release", text: "x", role: "admin", name: "mallory", scope: "admin", days: "9",
        kind: "domain", side: "allow", value: "evil.example", sender: "5521912345678" };
      const body = method === "POST" ? new URLSearchParams(fields) : undefined;
      return (await fetch(address, { method, body, redirect: "manual" })).status;
    }, method, address, csrf, site.ids.virus);
    check(`a viewer must not ${method} ${address}`, status === 403, String(status));
  }
  await page.goto(site.url + "/messages");
  check("a viewer is not asked for a sender", !(await has(page, "#sender")));
  await page.browserContext().close();
}

async function formsOfOthers(page) {
  await page.goto(site.url + "/lists");
  const status = (headers, fields) => page.evaluate(async (headers, fields) => {
    const answer = await fetch("/lists", { method: "POST", headers, body: new URLSearchParams(fields), redirect: "manual" });
    return answer.status;
  }, headers, fields);
  const fields = { side: "allow", kind: "domain", value: "evil.example", reason: "because", days: "1" };
  check("a form without the token is refused", (await status({}, fields)) === 403);
  check("a form with a wrong token is refused", (await status({}, { ...fields, csrf: "0".repeat(64) })) === 403);
  const evil = await newPage(browser);
  const cookies = await page.cookies();
  await evil.browserContext().setCookie(...cookies.map(({ name, value }) => ({ name, value, domain: "127.0.0.1" })));
  const csrf = await page.$eval("input[name=csrf]", (field) => field.value);
  await evil.goto(`data:text/html,<form method=post action="${site.url}/lists"><input name=csrf value="${csrf}"><input name=value value=evil.example><input name=kind value=domain><input name=reason value=because><input name=days value=1></form>`);
  const [answer] = await Promise.all([evil.waitForNavigation(), evil.evaluate(() => document.forms[0].submit())]);
  check("a form on another site is refused, even with the token", answer.status() === 403, String(answer.status()));
  await evil.browserContext().close();
}

/** Nothing in the page may come from what a stranger wrote. */
const foreign = () => {
  const wrong = [];
  for (const element of document.querySelectorAll("*")) {
    const name = element.localName;
    if (["iframe", "object", "embed", "base", "video", "audio", "plaintext", "animate", "style", "math", "img"].includes(name)) wrong.push(`<${name}>`);
    if (name === "meta" && element.httpEquiv) wrong.push("meta http-equiv");
    if (name === "script" && !element.getAttribute("src")?.startsWith("/assets/")) wrong.push("script");
    if (name === "link" && !element.getAttribute("href").startsWith("/assets/")) wrong.push("link");
    if (name === "form" && !element.getAttribute("action")?.startsWith("/")) wrong.push("form");
    if (name === "a" && !/^(\/(?!\/)|#|\?)/.test(element.getAttribute("href") ?? "")) wrong.push(`a ${element.getAttribute("href")}`);
    for (const attribute of element.attributes) {
      if (attribute.name.startsWith("on") || attribute.name === "style" || attribute.name === "srcdoc") wrong.push(`${name} ${attribute.name}`);
    }
  }
  return wrong;
};

async function strangersWords(page) {
  check("there are strangers' words to show", site.hostile.length > 40, String(site.hostile.length));
  const addresses = ["/", "/messages", "/quarantine", "/rules", "/audit"];
  for (const id of site.hostile) addresses.push(`/messages/${id}`, `/messages/${id}/contents`);
  for (const address of addresses) {
    await page.goto(site.url + address);
    const wrong = await page.evaluate(foreign);
    check(`nothing of a stranger's is markup on ${address}`, wrong.length === 0, wrong.slice(0, 5).join(", "));
  }
  for (const line of readFileSync(hostile, "utf8").split("\n").filter((line) => line && !line.startsWith("# "))) {
    for (const address of ["/messages?q=", "/rules?q=", "/messages?done=", "/login?next=", "/?lang="]) {
      await page.goto(site.url + address + encodeURIComponent(line));
      const wrong = await page.evaluate(foreign);
      check(`nothing of an address is markup: ${address}${line}`, wrong.length === 0, wrong.slice(0, 5).join(", "));
    }
  }
  await page.goto(site.url + "/rules");
  await page.type("#try-text", "</textarea><script>alert(1)</script> http://evil.example");
  await go(page, () => page.click("#try form button"));
  check("a tried text comes back as text", (await page.evaluate(foreign)).length === 0 && (await page.$eval("#try-text", (field) => field.value)).startsWith("</textarea>"));
  check("no script of a stranger ran", page.troubles.length === 0, page.troubles.join(" | "));
}

async function narrow() {
  const page = await newPage(browser, { width: 360, height: 740, language: "pt-BR" });
  await logIn(page, site, "ana");
  for (const [what, address] of Object.entries({ ...PAGES, hostile: `/messages/${site.hostile.at(-2)}/contents`, hostile2: `/messages/${site.hostile[10]}` })) {
    await page.goto(site.url + address);
    const wide = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
    check(`${what} fits into 360 px`, wide <= 0, `${wide} px too wide`);
  }
  await page.goto(site.url + "/");
  check("the menu is folded away", !(await page.$eval("#nav", (nav) => nav.checkVisibility())));
  await page.click(".menu-button");
  check("a press shows it", await page.$eval("#nav", (nav) => nav.checkVisibility()));
  await go(page, () => page.click('#nav a[href="/messages"]'));
  check("and it leads on", page.url().endsWith("/messages"));
  await page.browserContext().close();
}

async function keyboardOnly() {
  const page = await newPage(browser);
  const rui = site.people.find((person) => person.name === "rui");
  await page.goto(site.url + "/login");
  await page.waitForFunction(() => document.activeElement.id === "name");
  await page.keyboard.type("rui");
  await page.keyboard.press("Tab");
  await page.keyboard.type(rui.password);
  await go(page, () => page.keyboard.press("Enter"));
  await page.waitForFunction(() => document.activeElement.id === "code");
  await page.keyboard.type(rui.recovery.shift());
  await go(page, () => page.keyboard.press("Enter"));
  check("in, by keys alone", page.url() === site.url + "/", page.url());
  await page.keyboard.press("Tab");
  check("the first key leads past the side bar", (await page.evaluate(() => document.activeElement.className)) === "skip");
  await page.keyboard.press("?");
  check("? shows the keys", await has(page, "#keys:popover-open"));
  await page.keyboard.press("Escape");
  check("Escape closes them", !(await has(page, "#keys:popover-open")));
  await page.keyboard.press("g");
  await go(page, () => page.keyboard.press("m"));
  check("g m goes to the messages", page.url().endsWith("/messages"));
  await page.keyboard.press("/");
  check("/ goes to the search", (await page.evaluate(() => document.activeElement.id)) === "q");
  await page.keyboard.type("parcel");
  await page.keyboard.press("Escape");
  check("Escape leaves the field", (await page.evaluate(() => document.activeElement.id)) !== "q");
  await page.keyboard.press("j");
  await page.keyboard.press("j");
  await page.keyboard.press("k");
  check("j and k move the row", (await page.$$eval("tr.chosen", (rows) => rows.length)) === 1);
  const ring = await page.evaluate(() => getComputedStyle(document.activeElement).outlineStyle);
  check("the focus is seen", ring === "solid", ring);
  await go(page, () => page.keyboard.press("Enter"));
  check("Enter opens it", /\/messages\/\w{26}$/.test(page.url()), page.url());
  await go(page, () => page.keyboard.press("u"));
  check("u leads back", page.url().endsWith("/messages"));
  await page.goto(`${site.url}/messages/${site.ids.parcel}`);
  await go(page, () => page.keyboard.press("c"));
  check("c opens the contents", page.url().includes("/contents"));
  check("evidence is marked in place", (await text(page, ".text mark.high")) === "hxxps://correios-taxa-pagamento[.]top/rastreio");
  await page.goto(`${site.url}/messages/${site.hostile[0]}`);
  await page.keyboard.press("r");
  await page.keyboard.type("looked at it by keys alone");
  await page.keyboard.press("Tab");
  await page.keyboard.press("Tab");
  await page.keyboard.press("Tab");
  await go(page, () => page.keyboard.press("Enter"));
  check("released by keys alone", (await text(page, ".banner.good")).startsWith("Released"), await text(page, ".banner"));
  check("no trouble with keys", page.troubles.length === 0, page.troubles.join(" | "));
  await page.browserContext().close();
}

async function withoutScript() {
  const page = await newPage(browser, { script: false });
  await logIn(page, site, "rui");
  await page.goto(site.url + "/messages");
  const first = await page.$$eval("tbody tr a", (links) => links[0].getAttribute("href"));
  await go(page, () => page.click("[data-older]"));
  const next = await page.$$eval("tbody tr a", (links) => links[0].getAttribute("href"));
  check("older ones come without script", first !== next && next.startsWith("/messages/"));
  check("times say that they are UTC", /UTC$/.test(await (await page.goto(site.url + `/messages/${site.ids.clean}`), text(page, "dl.facts time"))));
  await page.goto(`${site.url}/messages/${site.ids.spare}`);
  await page.click("button[popovertarget=delete]");
  await page.type("#delete textarea", "without any script");
  await go(page, () => page.click("#delete button.danger"));
  check("deleted without script", (await text(page, ".banner.good")).startsWith("Deleted"));
  await page.browserContext().close();
}

async function alive(page) {
  await page.goto(site.url + "/");
  await page.evaluate(() => document.querySelector("[data-live] .tile").setAttribute("data-old", ""));
  const fresh = await page.waitForFunction(() => !document.querySelector("[data-live] .tile[data-old]"), { timeout: 15000 }).catch(() => null);
  check("the overview stays fresh without a reload", fresh !== null);
  await page.goto(site.url + "/messages");
  const before = await page.$$eval("[data-rows] > tr", (rows) => rows.length);
  await page.evaluate(() => window.scrollTo(0, document.body.scrollHeight));
  const more = await page.waitForFunction((n) => document.querySelectorAll("[data-rows] > tr").length > n, { timeout: 15000 }, before).catch(() => null);
  check("the list goes on by itself", more !== null);
  const ids = await page.$$eval("[data-rows] a[data-open]", (links) => links.map((link) => link.getAttribute("href")));
  check("no row comes twice", new Set(ids).size === ids.length);
  check("times are the reader's own", (await page.$eval("[data-rows] time", (time) => time.title)).endsWith("UTC"));
}

async function languages(page) {
  for (const [tag, word] of [["pt-BR", "Visão geral"], ["es", "Resumen"], ["en", "Overview"]]) {
    await page.goto(site.url + "/account");
    await page.select("#lang", tag);
    await page.select("#theme", tag === "es" ? "dark" : "system");
    await go(page, () => page.click('form[action="/account/preferences"] button'));
    await page.goto(site.url + "/");
    check(`the console speaks ${tag}`, (await text(page, "h1")) === word && (await page.evaluate(() => document.documentElement.lang)) === tag);
    check(`colours are chosen apart (${tag})`, (await page.evaluate(() => document.documentElement.dataset.theme ?? "system")) === (tag === "es" ? "dark" : "system"));
  }
}

async function everybodyCanRead() {
  for (const [width, dark] of [[1280, false], [1280, true], [360, false], [360, true]]) {
    const page = await newPage(browser, { width, dark });
    const look = async (what) => {
      await page.evaluate(axe);
      const found = await page.evaluate(() => globalThis.axe.run(document, { resultTypes: ["violations"] }));
      for (const violation of found.violations.filter((violation) => ["serious", "critical", "moderate"].includes(violation.impact))) {
        check(`axe: ${what} at ${width} ${dark ? "dark" : "light"}`, false, `${violation.impact} ${violation.id}: ${violation.nodes.slice(0, 3).map((node) => node.html.slice(0, 140) + " " + (node.any[0]?.message ?? "")).join(" || ")}`);
      }
      check(`axe looked at ${what}`, found.violations !== undefined);
    };
    await page.goto(site.url + "/login");
    await look("login");
    await page.goto(site.url + site.setup);
    await look("setup");
    await logIn(page, site, "ana");
    for (const [what, address] of Object.entries(PAGES)) {
      await page.goto(site.url + address);
      await page.$$eval("main details", (all) => all.forEach((details) => { details.open = true; }));
      await look(what);
    }
    await page.goto(`${site.url}/messages/${site.ids.virus}`);
    await page.keyboard.press("r");
    await look("the box for a release");
    await page.goto(site.url + "/");
    await page.keyboard.press("?");
    await look("the keys");
    check("no trouble on any page", page.troubles.length === 0, page.troubles.join(" | "));
    await page.browserContext().close();
  }
}

const started = Date.now();
const only = process.argv.slice(2);
const step = async (name, run) => {
  if (only.length && !only.includes(name)) return;
  try {
    await run();
  } catch (error) {
    check(name, false, error.stack);
  }
};
const page = await newPage(browser);
if (!only.length || only.includes("login")) {
  await page.browserContext().close();
  var ana = await logInWithTheApp().catch((error) => (check("log-in", false, error.stack), null));
} else {
  await logIn(page, site, "ana");
  ana = page;
}
await step("release", () => releaseWhatWasHeld(ana));
await step("download", () => download(ana));
await step("previews", () => previews(ana));
await step("several", () => severalAtOnce(ana));
await step("viewer", viewerMayNot);
await step("forms", () => formsOfOthers(ana));
await step("keys", keyboardOnly);
await step("noscript", withoutScript);
await step("alive", () => alive(ana));
await step("languages", () => languages(ana));
await step("narrow", narrow);
await step("strangers", () => strangersWords(ana));
await step("axe", everybodyCanRead);
await browser.close();
site.stop();
console.log(`console in a browser: ${passed} checks passed, ${failed} failed, ${((Date.now() - started) / 1000).toFixed(0)} s`);
process.exit(failed ? 1 : 0);
