// The stage of the simulator: where each piece of a block stands, and how it gets there.
//
// From left to right the backend, the proxy, the kernel's send buffer, the client; below the proxy's floor, what it lost.
// A block is a square with its number. Its first byte is at the bottom, so what `write` takes comes off the bottom, and
// what it did not take is the top. Everything is in CSS pixels, because the words should not shrink with the picture.
"use strict";

(function () {
    const { BLOCK } = globalThis.BufferModel;

    /** What the proxy does, as code: the lines, and what each of them is called in `calls`. */
    const CODE = {
        one: [["read", "n = read(backend, block)"], ["write", "write_all(client, block)"]],
        block: [["read", "n = read(backend, block)"], ["write", "write(client, block)"]],
        drop: [["read", "n = read(backend, block)"], ["write", "let _ = write(client, block)"]],
        buffer: [["flush", "write(client, pending)"], ["read", "n = read(backend, block)"], ["write", "m = write(client, block)"], ["keep", "pending.extend(block[m..n])"]],
        hold: [["flush", "write(client, pending)"], ["read", "if pending < mark { read(…) }"], ["write", "m = write(client, block)"], ["keep", "pending.extend(block[m..n])"]],
        spill: [["flush", "write(client, pending)"], ["read", "n = read(backend, block)"], ["write", "m = write(client, block)"], ["keep", "keep(block[m..n])"]],
    };

    /** Which line the live line is about, or -1 where the proxy waits in epoll_wait for something to do. */
    function line(state) {
        const { policy } = state.config;
        const code = CODE[policy].map(([name]) => name);
        const last = (name) => state.calls.findLastIndex(({ call }) => call === name);
        const [read, write] = [last("read"), last("write")];
        if (write >= 0) return code.indexOf(code.includes("flush") && !(read >= 0 && write > read) ? "flush" : "write");
        if (read >= 0) return code.indexOf(state.calls.length > 1 ? "keep" : "read");
        return policy === "one" && !state.finished ? 0 : -1;
    }

    /** Where everything is on a stage of this width. `slots`: blocks in the page. */
    function geometry(width, config, slots) {
        const wide = width >= 600;
        const side = width >= 800 ? 38 : wide ? 34 : 28;
        const cell = side + 3;
        const columns = wide ? 5 : 10;
        const rows = Math.ceil(slots / columns);
        const stackColumns = 4;
        const stackRows = 4;
        const top = 22;
        const small = { w: side + 16, h: 0 };
        const clientWidth = columns * cell + 13;
        const tall = Math.max(wide ? rows * cell + 13 : 0, 78 + stackRows * cell + 10);
        const gaps = wide ? 3 : 2;
        const gap = wide ? Math.min(64, Math.max(30, Math.round((width - 2 * small.w - clientWidth - 270) / gaps))) : 18;
        const proxyWidth = width - 2 * small.w - gaps * gap - (wide ? clientWidth : 0);
        const floor = top + tall;
        const ground = floor + side + 26;

        const backend = { x: 0, y: top, w: small.w, h: tall };
        const proxy = { x: small.w + gap, y: top, w: proxyWidth, h: tall };
        const kernel = { x: proxy.x + proxyWidth + gap, y: top, w: small.w, h: tall };
        const client = wide
            ? { x: kernel.x + small.w + gap, y: top, w: clientWidth, h: tall }
            : { x: Math.round((width - clientWidth) / 2), y: ground + 26, w: clientWidth, h: rows * cell + 13 };
        const hand = { x: proxy.x + proxy.w - side - 16, y: floor - side - 22 };
        const stack = { right: hand.x - 14 - side, bottom: floor - 8 - side, columns: stackColumns, rows: stackRows };
        const height = wide ? ground + 2 : client.y + client.h + 2;
        return { width, wide, side, cell, columns, rows, gap, top, floor, ground, backend, proxy, kernel, client, hand, stack, height };
    }

    /** Cuts a queue where blocks end: [{ from, to, block }], blocks counted from 0. */
    function pieces(queue) {
        const list = [];
        for (const [start, end] of queue) {
            for (let from = start; from < end; ) {
                const block = Math.floor(from / BLOCK);
                const to = Math.min(end, (block + 1) * BLOCK);
                list.push({ from, to, block });
                from = to;
            }
        }
        return list;
    }

    /**
     * Every piece of the page with its place and its corner on the stage; and how many there are that are only counted.
     * A piece stands in the square of its block at the height of its bytes, except in the kernel's buffer, which
     * is a measure: there pieces lie on one another, as high as they have bytes.
     */
    function place(state, g) {
        const { side, cell } = g;
        const { policy } = state.config;
        const list = [];
        const more = { ahead: 0, proxy: 0, disk: 0, lost: 0 };
        const height = (bytes) => (side * bytes) / BLOCK;
        const put = (piece, where, x, y, { flow = false, hidden = false, tilt = 0 } = {}) => {
            const base = piece.block * BLOCK;
            const down = flow ? 0 : side - height(piece.to - base);
            list.push({ ...piece, where, x, y: y + down, h: height(piece.to - piece.from), square: flow ? null : { x, y }, hidden, tilt });
        };

        for (const piece of pieces(state.delivered)) {
            put(piece, "delivered", g.client.x + 8 + (piece.block % g.columns) * cell, g.client.y + 8 + Math.floor(piece.block / g.columns) * cell);
        }
        let level = g.floor - 8;
        for (const piece of pieces(state.kernel)) {
            const h = height(piece.to - piece.from);
            level -= h;
            put(piece, "kernel", g.kernel.x + 8, level, { flow: true });
        }

        // In the proxy: the block in its hand, and the rest in rows that grow from the floor. The oldest is nearest to the hand.
        const held = pieces(state.proxy);
        const room = g.stack.columns * g.stack.rows;
        held.forEach((piece, i) => {
            if (policy === "one" || policy === "block") {
                if (i === 0) return put(piece, "proxy", g.hand.x, g.hand.y);
                i -= 1;
            }
            const over = i >= room - 1 && held.length > room;
            if (over) more.proxy += 1;
            const at = Math.min(i, room - 1);
            put(piece, "proxy", g.stack.right - (at % g.stack.columns) * cell, g.stack.bottom - Math.floor(at / g.stack.columns) * cell, { hidden: over });
        });

        // In the file, below the floor; the oldest is nearest to the hand.
        const filed = pieces(state.disk);
        const shelf = Math.max(1, Math.floor((g.hand.x + side - 104) / cell));
        filed.forEach((piece, i) => {
            const over = i >= shelf - 1 && filed.length > shelf;
            if (over) more.disk += 1;
            put(piece, "disk", g.hand.x - Math.min(i, shelf - 1) * cell, g.ground - side - 3, { hidden: over });
        });

        // Lost: the newest lies where it fell, the older ones are pushed aside until they are only counted.
        const lost = pieces(state.lost).reverse();
        const lying = Math.max(1, Math.floor((g.hand.x - 108) / cell) + 1);
        lost.forEach((piece, i) => {
            const over = i >= lying;
            if (over) more.lost += 1;
            const x = over ? 52 : g.hand.x - i * cell;
            put(piece, "lost", x, g.ground - side - 3, { hidden: over, tilt: [-5, 4, -2, 6, -4][piece.block % 5] });
        });

        // Not sent yet. The next one is at the floor, on a level with the hand.
        const ahead = pieces([[state.sent, state.total]]);
        const waiting = Math.floor((g.backend.h - 34) / cell);
        ahead.forEach((piece, i) => {
            const over = i >= waiting;
            if (over) more.ahead += 1;
            put(piece, "ahead", g.backend.x + 8, g.floor - 8 - side - Math.min(i, waiting - 1) * cell, { hidden: over });
        });
        return { list, more };
    }

    /** The pieces of `after`, each with where it was before: cut wherever a piece of `before` ends. */
    function moves(before, after) {
        const list = [];
        for (const piece of after) {
            const was = before.filter((old) => old.from < piece.to && old.to > piece.from).sort((a, b) => a.from - b.from);
            for (const old of was) {
                const from = Math.max(old.from, piece.from);
                const to = Math.min(old.to, piece.to);
                const part = (whole) => ({ x: whole.x, y: whole.y + whole.h * (1 - (to - whole.from) / (whole.to - whole.from)), tilt: whole.tilt });
                const bytes = (to - from) / (piece.to - piece.from);
                list.push({ ...piece, from, to, h: piece.h * bytes, ...part(piece), start: part(old), old });
            }
        }
        return list;
    }

    /** Where a byte is, in words. */
    const WORDS = { delivered: "with the client", kernel: "in the kernel’s buffer", proxy: "in the proxy", disk: "in the file", lost: "lost", ahead: "not sent yet" };

    function element(piece, side, where = piece.where) {
        const box = document.createElement("div");
        box.className = `piece ${where}`;
        const whole = piece.h > side - 1;
        if (!whole) box.classList.add("part");
        if (piece.hidden) box.classList.add("gone");
        const number = document.createElement("b");
        number.textContent = piece.block + 1;
        box.append(number);
        const style = box.style;
        style.width = `${side}px`;
        style.height = `${Math.max(2, piece.h)}px`;
        if (piece.h < 10) number.style.visibility = "hidden";
        style.fontSize = `${Math.min(side > 30 ? 13 : 12, Math.max(9, piece.h - 3))}px`;
        style.transform = `translate(${piece.x}px, ${piece.y}px) rotate(${piece.tilt}deg)`;
        return box;
    }

    /** The square of which a piece is a part, drawn once however many parts of it there are. */
    function squares(list, side) {
        const seen = new Set();
        return list.filter((piece) => piece.square && !piece.hidden && piece.where !== "ahead" && piece.where !== "delivered" && piece.h < side - 1).map((piece) => {
            const key = `${piece.square.x} ${piece.square.y}`;
            if (seen.has(key)) return null;
            seen.add(key);
            const box = document.createElement("div");
            box.className = `square ${piece.where}`;
            box.style.cssText = `width:${side}px;height:${side}px;transform:translate(${piece.square.x}px,${piece.square.y}px) rotate(${piece.tilt}deg)`;
            return box;
        }).filter(Boolean);
    }

    /** Draws a state as it stands. */
    function draw(layer, state, g) {
        const { list } = place(state, g);
        layer.replaceChildren(...squares(list, g.side), ...list.filter((piece) => !piece.hidden).map((piece) => element(piece, g.side)));
    }

    /**
     * Plays what happened between two states in `time` milliseconds: first the client reads, then the proxy reads, then it
     * writes, and what was not taken goes where it goes. Returns a function that stops it.
     */
    function play(layer, before, after, g, time) {
        const from = place(before, g);
        const to = place(after, g);
        const timers = [];
        const running = [];
        const seat = (piece) => ({ x: g.hand.x, y: g.hand.y + g.side - (g.side * (piece.to - piece.block * BLOCK)) / BLOCK, tilt: 0 });
        const at = ({ x, y, tilt = 0 }, offset, easing = "ease-in-out") => ({ offset, easing, transform: `translate(${x}px, ${y}px) rotate(${tilt}deg)` });
        const boxes = moves(from.list, to.list).map((piece) => {
            const { start, old } = piece;
            if (piece.hidden && old.hidden) return null;
            const box = element({ ...piece, hidden: false }, g.side, old.where);
            const still = Math.abs(start.x - piece.x) < 0.5 && Math.abs(start.y - piece.y) < 0.5 && old.where === piece.where && !piece.hidden && !old.hidden;
            if (still) return box;
            const path = [at(start, 0)];
            const becomes = (where, when) => timers.push(setTimeout(() => {
                box.className = `piece ${where}${piece.h > g.side - 1 ? "" : " part"}`;
            }, when * time));
            if (old.where === "ahead" && piece.where !== "ahead") {
                // Through the hand: nothing gets past the proxy.
                box.style.zIndex = 3;
                path.push(at(start, 0.12), at(seat(piece), 0.42), at(seat(piece), 0.56, piece.where === "lost" ? "cubic-bezier(.5,0,.9,.6)" : "ease-in-out"));
                becomes("proxy", 0.3);
                // One block until it is cut, and so one number.
                if (piece.to - piece.from < BLOCK / 2) {
                    box.firstChild.style.visibility = "hidden";
                    timers.push(setTimeout(() => (box.firstChild.style.visibility = piece.h < 10 ? "hidden" : ""), 0.56 * time));
                }
                becomes(piece.where, 0.58);
                path.push(at(piece, 0.95), at(piece, 1));
            } else if (old.where === "kernel" && piece.where === "delivered") {
                box.style.zIndex = 2;
                path.push(at(piece, 0.42), at(piece, 1));
                becomes("delivered", 0.25);
            } else if (piece.where === "kernel" && old.where !== "kernel") {
                box.style.zIndex = 2;
                path.push(at(start, 0.3), at(piece, 0.65), at(piece, 1));
                becomes("kernel", 0.5);
            } else {
                path.push(at(start, 0.1), at(piece, 0.5), at(piece, 1));
                if (old.where !== piece.where) becomes(piece.where, 0.3);
            }
            if (piece.hidden) path.forEach((frame, i) => (frame.opacity = i < path.length - 2 ? 1 : 0));
            if (old.hidden) path.forEach((frame, i) => (frame.opacity = i === 0 ? 0 : 1));
            running.push(box.animate ? { box, path } : null);
            return box;
        });
        layer.replaceChildren(...boxes.filter(Boolean));
        const animations = running.filter(Boolean).map(({ box, path }) => box.animate(path, { duration: time, fill: "both" }));
        return () => {
            timers.forEach(clearTimeout);
            animations.forEach((animation) => animation.cancel());
        };
    }

    globalThis.BufferStage = Object.freeze({ CODE, WORDS, line, geometry, place, pieces, draw, play });
})();
