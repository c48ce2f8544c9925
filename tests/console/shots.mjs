// Screenshots of every page, wide and narrow, light and dark: to be looked at.
//     node shots.mjs FOLDER [page …]
import { mkdirSync } from "node:fs";
import path from "node:path";
import { logIn, newPage, startBrowser, startConsole } from "./browser.mjs";

const [folder = "shots", ...only] = process.argv.slice(2);
mkdirSync(folder, { recursive: true });
const site = await startConsole();
const browser = await startBrowser();
export const PAGES = {
  overview: "/", messages: "/messages", found: "/messages?verdict=malicious", none: "/messages?q=nothing-has-this",
  message: `/messages/${site.ids.parcel}/contents`, worm: `/messages/${site.ids.worm}`, nasty: `/messages/${site.ids.nasty}/contents`,
  waiting: `/messages/${site.ids.waiting}`, photo: `/messages/${site.ids.photo}/files/${site.virus}/preview`,
  members: `/messages/${site.ids.worm}/files/${site.virus}/preview?open=1`, sheet: `/messages/${site.ids.virus}/files/${site.virus}/preview`,
  quarantine: "/quarantine", deliveries: "/deliveries", rules: "/rules", lists: "/lists", health: "/health", audit: "/audit",
  people: "/people", account: "/account", second: "/account/second-step", refused: "/messages/NOSUCH",
};
for (const [width, dark, language] of [[1280, false, "en"], [1280, true, "pt-BR"], [360, false, "es"], [360, true, "en"]]) {
  const page = await newPage(browser, { width, dark, language, height: width < 500 ? 740 : 800 });
  const name = (what) => path.join(folder, `${what}-${width}-${dark ? "dark" : "light"}.png`);
  if (!only.length || only.includes("login")) {
    await page.goto(site.url + "/login");
    await page.screenshot({ path: name("login"), fullPage: true });
    await page.goto(site.url + site.setup);
    await page.screenshot({ path: name("setup"), fullPage: true });
  }
  await logIn(page, site, "ana");
  for (const [what, address] of Object.entries(PAGES)) {
    if (only.length && !only.includes(what)) continue;
    await page.goto(site.url + address);
    await page.screenshot({ path: name(what), fullPage: true });
    const wide = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
    if (wide > 0) console.log(`${what} at ${width}: ${wide} px too wide`);
  }
  if (!only.length || only.includes("boxes")) {
    await page.goto(`${site.url}/messages/${site.ids.worm}`);
    await page.keyboard.press("r");
    await page.screenshot({ path: name("box-release") });
    await page.goto(`${site.url}/`);
    await page.keyboard.press("?");
    await page.screenshot({ path: name("box-keys") });
    if (width < 500) {
      await page.keyboard.press("Escape");
      await page.click(".menu-button");
      await page.screenshot({ path: name("menu") });
    }
  }
  if (page.troubles.length) console.log(what(page));
  await page.browserContext().close();
}
function what(page) { return page.troubles.join("\n"); }
await browser.close();
site.stop();
