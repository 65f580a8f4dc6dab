// Screenshots of every page, for people to look at: light, dark, and as wide as a telephone.
// `node tests/browser/shots.js [part of a page's name …]`, into target/shots (SHOTS names another place).
"use strict";

const fs = require("node:fs");
const path = require("node:path");
const { ROOT, start, pages, address, prepare } = require("./browser.js");

const LOOKS = [
    ["light", { width: 1280, height: 900 }, "light"],
    ["dark", { width: 1280, height: 900 }, "navy"],
    ["phone", { width: 390, height: 844 }, "light"],
];

(async () => {
    const into = path.resolve(process.env.SHOTS || path.join(ROOT, "target/shots"));
    fs.mkdirSync(into, { recursive: true });
    const wanted = process.argv.slice(2);
    const names = pages().filter((name) => !wanted.length || wanted.some((part) => name.includes(part)));
    const { context, close } = await start();
    try {
        for (const [look, viewport, theme] of LOOKS) {
            const page = await context.newPage();
            await prepare(page, theme);
            await page.setViewportSize(viewport);
            for (const name of names) {
                if (name === "print.html" && !wanted.length) continue;
                await page.goto(address(name));
                const file = path.join(into, `${name.replace(/\.html$/, "").replaceAll("/", "-")}-${look}.png`);
                // The sidebar belongs to a window, not to a picture of the whole page.
                await page.screenshot({ path: file, fullPage: true, animations: "disabled" });
            }
            await page.close();
        }
    } finally {
        await close();
    }
    console.log(`${names.length} pages, ${LOOKS.length} looks each, in ${into}`);
})();
