// The stage of the simulator: where each piece of a block stands, and how it gets there.
//
// From left to right the backend, the proxy, the kernel's send buffer, the client, and where a preset asks for them the
// kernel's other buffers between them; below the proxy's floor, what it lost. A block is a square with its number. Its first byte is at the bottom, so what `write` takes comes off the bottom, and
// what it did not take is the top. Everything is in CSS pixels, because the words should not shrink with the picture.
"use strict";

(function () {
    const { BLOCK, QUEUES } = globalThis.BufferModel;

    /** What the proxy does, as code: the lines, and what each of them is called in `calls`. */
    const CODE = {
        one: [["read", "n = read(backend, block)"], ["write", "write_all(client, block)"]],
        block: [["read", "n = read(backend, block)"], ["write", "write(client, block)"]],
        drop: [["read", "n = read(backend, block)"], ["write", "let _ = write(client, block)"]],
        buffer: [["flush", "pending -= write(client, pending)"], ["read", "n = read(backend, block)"], ["write", "m = write(client, block)"], ["keep", "pending.extend(block[m..n])"]],
        hold: [["flush", "pending -= write(client, pending)"], ["read", "n = read(backend, block)"], ["write", "m = write(client, block)"], ["keep", "pending.extend(block[m..n])"], ["switch", "pause_or_resume(backend)"]],
        spill: [["flush", "pending -= write(client, pending)"], ["read", "n = read(backend, block)"], ["write", "m = write(client, block)"], ["keep", "keep(block[m..n])"]],
    };

    /** Which line the live line is about, or -1 where the proxy waits in epoll_wait for something to do. */
    function line(state) {
        const { policy } = state.config;
        const code = CODE[policy].map(([name]) => name);
        const last = (name) => state.calls.findLastIndex(({ call }) => call === name);
        if (/pause|resume/.test(state.calls.at(-1)?.call)) return code.indexOf("switch");
        const [read, write] = [last("read"), last("write")];
        if (write >= 0) return code.indexOf(code.includes("flush") && !(read >= 0 && write > read) ? "flush" : "write");
        if (read >= 0) return code.indexOf(state.calls.length > 1 ? "keep" : "read");
        return policy === "one" && !state.finished ? 0 : -1;
    }

    /** The code as text, shorter where a line of it is too long for the proxy. */
    function code(policy, g) {
        const lines = CODE[policy].map(([, text]) => text);
        if (Math.max(...lines.map((text) => text.length)) * 7.2 + 24 <= g.proxy.w) return lines;
        return lines.map((text) => text.replace(/(client|backend), /, "").replace(/.extend[(](.*)[)]/, " += $1").replace("(backend)", "()"));
    }

    /** Where everything is on a stage of this width. `slots`: blocks in the page. */
    function geometry(width, config, slots) {
        const { buffers, policy } = config;
        const wide = width >= 600;
        const side = { 1: [38, 34, 28], 2: [37, 31, 25], 4: [33, 26, 22] }[buffers][width >= 800 ? 0 : wide ? 1 : 2];
        const cell = side + 3;
        const columns = wide ? 5 : 10;
        const rows = Math.ceil(slots / columns);
        const stack = { columns: wide || buffers === 1 ? 4 : 3, rows: 4 };
        const top = buffers === 1 ? 22 : 36;
        const small = side + (buffers === 1 ? 16 : buffers === 2 ? 12 : 8);
        const clientWidth = columns * cell + 13;
        const tall = Math.max(wide ? rows * cell + 13 : 0, CODE[policy].length * 17 + 10 + stack.rows * cell + 10);

        // The proxy takes what the others leave.
        const queues = { 1: ["proxySend"], 2: ["proxyReceive", "proxySend"], 4: QUEUES }[buffers];
        const order = ["backend", ...queues.filter((queue) => queue !== "proxySend" && queue !== "clientReceive"), "proxy", ...queues.slice(buffers / 2)];
        const stations = wide ? [...order, "client"] : order;
        const gaps = stations.length - 1;
        const fixed = (queues.length + 1) * small + (wide ? clientWidth : 0);
        const gap = wide ? Math.min(64, Math.max(buffers === 1 ? 30 : buffers === 2 ? 24 : 18, Math.round((width - fixed - (buffers === 2 ? 290 : 270)) / gaps))) : buffers === 1 ? 18 : buffers === 2 ? 12 : 8;
        const floor = top + tall;
        const ground = floor + Math.max(side, 31) + 26;
        const g = { width, wide, buffers, side, cell, columns, rows, gap, top, floor, ground, queues, order };
        let x = 0;
        for (const name of stations) {
            const w = name === "proxy" ? width - fixed - gaps * gap : name === "client" ? clientWidth : small;
            g[name] = { x, y: top, w, h: tall };
            x += w + gap;
        }
        g.client ??= { x: Math.round((width - clientWidth) / 2), y: ground + 26, w: clientWidth, h: rows * cell + 13 };
        g.hand = { x: g.proxy.x + g.proxy.w - side - 16, y: floor - side - 22 };
        g.stack = { ...stack, right: g.hand.x - 14 - side, bottom: floor - 8 - side };
        // Below the floor: first what is counted, then what lies there.
        g.pit = g.proxy.x + (wide ? 86 : 72);
        g.height = wide ? ground + 2 : g.client.y + g.client.h + 2;
        return g;
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
     * A piece stands in the square of its block at the height of its bytes, except in the kernel's buffers, which
     * are measures: there pieces lie on one another, as high as they have bytes. `zone` counts the places that it has
     * come through: from 3 on, the proxy has read it.
     */
    function place(state, g) {
        const { side, cell } = g;
        const { policy } = state.config;
        const list = [];
        const more = { ahead: 0, proxy: 0, disk: 0, lost: 0 };
        const height = (bytes) => (side * bytes) / BLOCK;
        const put = (piece, where, x, y, { flow = false, hidden = false, tilt = 0, zone = where === "ahead" ? 0 : where === "delivered" ? 6 : 3 } = {}) => {
            const base = piece.block * BLOCK;
            const down = flow ? 0 : side - height(piece.to - base);
            list.push({ ...piece, where, x, y: y + down, h: height(piece.to - piece.from), square: flow ? null : { x, y }, hidden, tilt, zone });
        };

        for (const piece of pieces(state.delivered)) {
            put(piece, "delivered", g.client.x + 8 + (piece.block % g.columns) * cell, g.client.y + 8 + Math.floor(piece.block / g.columns) * cell);
        }
        for (const queue of g.queues) {
            let level = g.floor - 8;
            for (const piece of pieces(state[queue])) {
                level -= height(piece.to - piece.from);
                put(piece, "kernel", g[queue].x + (g[queue].w - side) / 2, level, { flow: true, zone: [1, 2, 4, 5][QUEUES.indexOf(queue)] });
            }
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
        const shelf = Math.max(1, Math.floor((g.hand.x + side - g.pit) / cell));
        filed.forEach((piece, i) => {
            const over = i >= shelf - 1 && filed.length > shelf;
            if (over) more.disk += 1;
            put(piece, "disk", g.hand.x - Math.min(i, shelf - 1) * cell, g.ground - side - 3, { hidden: over });
        });

        // Lost: the newest lies where it fell, the older ones are pushed aside until they are only counted.
        const lost = pieces(state.lost).reverse();
        const lying = Math.max(1, Math.floor((g.hand.x - g.pit - 28) / cell) + 1);
        lost.forEach((piece, i) => {
            const over = i >= lying;
            if (over) more.lost += 1;
            const x = g.hand.x - Math.min(i, lying) * cell;
            put(piece, "lost", x, g.ground - side - 3, { hidden: over, tilt: [-5, 4, -2, 6, -4][piece.block % 5] });
        });

        // Not sent yet. The next one is at the floor, on a level with the hand.
        const ahead = pieces([[state.sent, state.total]]);
        const waiting = Math.floor((g.backend.h - 34) / cell);
        ahead.forEach((piece, i) => {
            const over = i >= waiting;
            if (over) more.ahead += 1;
            put(piece, "ahead", g.backend.x + (g.backend.w - side) / 2, g.floor - 8 - side - Math.min(i, waiting - 1) * cell, { hidden: over });
        });
        return { list, more };
    }

    /** When in a tick the last block arrives, as a part of its time. */
    const LANDED = 0.7;

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
    const WORDS = { delivered: "with the client", kernel: "in the kernel", proxy: "in the proxy", disk: "in the file", lost: "lost", ahead: "not sent yet" };

    /** What is lower than this many pixels has no room for its number. */
    const SLIVER = 11;

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
        if (piece.h < SLIVER) number.style.visibility = "hidden";
        style.fontSize = `${Math.min(side > 30 ? 13 : 12, Math.max(11, piece.h - 3))}px`;
        style.transform = `translate(${piece.x}px, ${piece.y}px) rotate(${piece.tilt}deg)`;
        return box;
    }

    /** The square of which a piece is a part, drawn once however many parts of it there are. It has the number of a sliver. */
    function squares(list, side) {
        const boxes = new Map();
        for (const piece of list) {
            if (!piece.square || piece.hidden || piece.h >= side - 1) continue;
            const { x, y } = piece.square;
            const box = boxes.get(`${x} ${y}`) || document.createElement("div");
            boxes.set(`${x} ${y}`, box);
            box.className = `square ${piece.where}`;
            box.style.cssText = `width:${side}px;height:${side}px;transform:translate(${x}px,${y}px) rotate(${piece.tilt}deg)`;
            if (piece.h < SLIVER) box.textContent = piece.block + 1;
        }
        return [...boxes.values()];
    }

    /** Beside a buffer of the kernel's, the numbers of the slivers in it. */
    const tags = (list, g) => list.filter((piece) => !piece.square && piece.h < SLIVER).map((piece) => {
        const tag = document.createElement("div");
        tag.className = "tag";
        tag.textContent = piece.block + 1;
        tag.style.transform = `translate(${g.wide ? `${piece.x + g.side + 7}px` : `calc(${piece.x - 6}px - 100%)`}, ${piece.y + piece.h / 2 - 7}px)`;
        return tag;
    });

    /** Draws a state as it stands. */
    function draw(layer, state, g) {
        const { list } = place(state, g);
        layer.replaceChildren(...squares(list, g.side), ...list.filter((piece) => !piece.hidden).map((piece) => element(piece, g.side)), ...tags(list, g));
    }

    /**
     * Plays what happened between two states in `time` milliseconds: first the client reads, then the proxy reads, then it
     * writes, and what was not taken goes where it goes. `landed` is called when everything is in its place. Returns a
     * function that stops it.
     */
    function play(layer, before, after, g, time, landed) {
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
            if (old.zone < 3 && piece.zone >= 3) {
                // Through the hand: nothing gets past the proxy.
                box.style.zIndex = 3;
                path.push(at(start, 0.08), at(seat(piece), 0.34), at(seat(piece), 0.46, piece.where === "lost" ? "cubic-bezier(.5,0,.9,.6)" : "ease-in-out"));
                becomes("proxy", 0.24);
                // One block until it is cut, and so one number.
                if (piece.to - piece.from < BLOCK / 2) {
                    box.firstChild.style.visibility = "hidden";
                    timers.push(setTimeout(() => (box.firstChild.style.visibility = piece.h < SLIVER ? "hidden" : ""), 0.46 * time));
                }
                becomes(piece.where, 0.48);
                path.push(at(piece, LANDED), at(piece, 1));
            } else {
                // What is nearer to the client moves first, because that makes the room for the rest.
                const wait = old.zone === piece.zone ? 0.08 : Math.max(0, 0.06 * (6 - piece.zone));
                if (old.zone !== piece.zone) box.style.zIndex = 2;
                path.push(at(start, wait), at(piece, Math.min(LANDED, wait + 0.36)), at(piece, 1));
                if (old.where !== piece.where) becomes(piece.where, wait + 0.2);
            }
            if (piece.hidden) path.forEach((frame, i) => (frame.opacity = i < path.length - 2 ? 1 : 0));
            if (old.hidden) path.forEach((frame, i) => (frame.opacity = i === 0 ? 0 : 1));
            running.push({ box, path });
            return box;
        });
        layer.replaceChildren(...boxes.filter(Boolean));
        const animations = running.map(({ box, path }) => box.animate(path, { duration: time, fill: "both" }));
        // By the clock of the animations, which a busy browser may start later than a timer.
        const clock = layer.animate([], time * LANDED);
        clock.onfinish = landed;
        animations.push(clock);
        return () => {
            timers.forEach(clearTimeout);
            animations.forEach((animation) => animation.cancel());
        };
    }

    globalThis.BufferStage = Object.freeze({ CODE, WORDS, code, line, geometry, place, pieces, draw, play });
})();
