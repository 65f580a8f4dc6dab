// What the browser tests and the screenshots share: Chromium, the built book, and its pages.
"use strict";

const fs = require("node:fs");
const os = require("node:os");
const path = require("node:path");
const { pathToFileURL } = require("node:url");
const { chromium } = require("playwright-core");

const ROOT = path.join(__dirname, "../..");

/** Where the book lies; BOOK names another place. */
const BOOK = path.resolve(process.env.BOOK || path.join(ROOT, "target/book"));

const ARGUMENTS = [
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage",
];

/** The browser: Debian's Chromium, or the one that CHROMIUM names. */
function executable() {
    const known = [process.env.CHROMIUM, "/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"];
    const found = known.find((file) => file && fs.existsSync(file));
    if (!found) throw new Error("no Chromium: apt-get install chromium, or name one in CHROMIUM");
    return found;
}

/** Starts Chromium with a new profile. `close` ends it and removes the profile. */
async function start(options = {}) {
    const profile = fs.mkdtempSync(path.join(os.tmpdir(), "dropped-write-chromium-"));
    const context = await chromium.launchPersistentContext(profile, {
        executablePath: executable(), args: ARGUMENTS, headless: true, chromiumSandbox: false,
        viewport: { width: 1280, height: 900 }, ...options,
    });
    const close = async () => {
        await context.close();
        fs.rmSync(profile, { recursive: true, force: true });
    };
    return { context, close };
}

/** The pages of the book: every HTML file but those that mdBook makes for frames and wrong addresses. */
function pages() {
    if (!fs.existsSync(path.join(BOOK, "index.html"))) throw new Error(`no book in ${BOOK}: cargo book build`);
    const names = fs.readdirSync(BOOK, { recursive: true }).map(String);
    return names.filter((name) => name.endsWith(".html") && !["toc.html", "404.html"].includes(path.basename(name))).sort();
}

const address = (name) => pathToFileURL(path.join(BOOK, name)).href;

/** Makes a page open in this theme of mdBook's, and never print by itself. */
async function prepare(page, theme) {
    await page.addInitScript((theme) => {
        try {
            localStorage.setItem("mdbook-theme", theme);
        } catch {
            // A page without storage is shown in its default theme.
        }
        window.print = () => {};
    }, theme);
}

module.exports = { ROOT, BOOK, start, pages, address, prepare };
