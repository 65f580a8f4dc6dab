// What a reader prints from the browser is readable, whatever the theme on the screen is.
// `node --test tests/browser/print.test.js`, after `cargo book build` and `npm ci --prefix tests/browser --ignore-scripts`.
"use strict";

const assert = require("node:assert/strict");
const { execFileSync, spawnSync } = require("node:child_process");
const fs = require("node:fs");
const os = require("node:os");
const path = require("node:path");
const { test } = require("node:test");

const { start, address, prepare } = require("./browser.js");

const PAGE = "03-the-dropped-write.html";

/** The gray values of a PDF's pages: 0 is black. */
function grays(pdf, directory) {
    const file = path.join(directory, "page.pdf");
    fs.writeFileSync(file, pdf);
    execFileSync("pdftoppm", ["-r", "20", "-gray", "-l", "6", file, path.join(directory, "page")]);
    const names = fs.readdirSync(directory).filter((name) => name.endsWith(".pgm")).sort();
    // Behind three lines of text: what it is, how wide and high, how white.
    const pixels = names.map((name) => {
        const bytes = fs.readFileSync(path.join(directory, name));
        let at = 0;
        for (let line = 0; line < 3; line += 1) at = bytes.indexOf(10, at) + 1;
        return bytes.subarray(at);
    });
    for (const name of names) fs.rmSync(path.join(directory, name));
    return pixels;
}

const mean = (pixels) => pixels.reduce((sum, pixel) => sum + pixel, 0) / pixels.length;

test("a page prints the same from every theme, dark on white", async (context) => {
    if (spawnSync("pdftoppm", ["-v"]).error) {
        assert.ok(!process.env.CI, "pdftoppm is missing");
        context.diagnostic("*** pdftoppm is missing: NOTHING HAS BEEN TESTED ***");
        return;
    }
    const directory = fs.mkdtempSync(path.join(os.tmpdir(), "dropped-write-print-"));
    const browser = await start();
    const printed = {};
    try {
        for (const theme of ["light", "rust", "coal", "navy", "ayu"]) {
            const page = await browser.context.newPage();
            await prepare(page, theme);
            await page.goto(address(PAGE));
            printed[theme] = grays(await page.pdf({ printBackground: true }), directory);
            const after = await page.evaluate(() => document.documentElement.className);
            assert.match(after, new RegExp(`\\b${theme}\\b`), "the screen has its theme again");
            await page.close();
        }
    } finally {
        await browser.close();
        fs.rmSync(directory, { recursive: true, force: true });
    }
    for (const [theme, pages] of Object.entries(printed)) {
        assert.equal(pages.length, printed.light.length);
        for (const [at, pixels] of pages.entries()) {
            const light = printed.light[at];
            assert.ok(mean(pixels) > 200, `${theme}, page ${at + 1}: mean ${mean(pixels)}`);
            const apart = mean(pixels.map((pixel, i) => Math.abs(pixel - light[i])));
            assert.ok(apart < 1, `${theme}, page ${at + 1}: ${apart} apart from the light theme`);
        }
    }
});
