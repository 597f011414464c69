// What a run has printed, its messages, and stacks.

import { data, isReport } from "./data.js";
import { h, put, throttled } from "./dom.js";
import { count, cut, moment, number } from "./format.js";
import { on, runs, watch } from "./live.js";
import { blank, into, toggle } from "./parts.js";

const FIRST_LINES = 2000;
const KEPT_LINES = 20000;
const LINE = 19;
const LONGEST = 5000;

function clock(time) {
	if (time == null) return "";
	const seconds = typeof time === "number" ? time : Date.parse(time) / 1000;
	return moment(seconds, true).slice(11);
}

/** Lines in a window; only what can be seen is an element. Long lines open on a click. */
class Lines {
	constructor(root, label, line) {
		this.line = line;
		this.lines = [];
		this.follow = true;
		this.view = h("div.lines", { tabindex: "0", role: "log", "aria-live": "off", "aria-label": label });
		this.body = h("div.vbody");
		this.view.append(this.body);
		root.append(this.view);
		this.view.addEventListener("scroll", () => {
			this.follow = this.view.scrollTop + this.view.clientHeight >= this.view.scrollHeight - 4;
			this.draw();
		}, { passive: true });
		this.observer = new ResizeObserver(() => this.draw());
		this.observer.observe(this.view);
	}

	show(lines) {
		this.lines = lines;
		this.first = this.last = -1;
		this.body.style.height = `${lines.length * LINE + 12}px`;
		if (this.follow) this.view.scrollTop = this.view.scrollHeight;
		this.draw();
	}

	draw() {
		const first = Math.max(0, Math.floor(this.view.scrollTop / LINE) - 20);
		const last = Math.min(this.lines.length, Math.ceil((this.view.scrollTop + this.view.clientHeight) / LINE) + 20);
		if (first === this.first && last === this.last) return;
		this.first = first;
		this.last = last;
		const block = h("div.block", null, this.lines.slice(first, last).map(this.line));
		block.style.transform = `translateY(${first * LINE + 6}px)`;
		this.body.replaceChildren(block);
	}

	destroy() {
		this.observer.disconnect();
	}
}

export class Console {
	constructor(root, id) {
		this.id = id;
		this.all = [];
		this.next = null;
		this.words = "";
		this.errorsOnly = false;
		this.search = h("input.find", { type: "search", placeholder: "Search", "aria-label": "Search in the console", oninput: () => { this.words = this.search.value.toLowerCase(); this.redraw(); } });
		this.say = h("span.soft");
		this.bar = h("div.bar", null, this.search, this.errorButton(), h("span.grow"), this.say,
			h("button.toggle", { type: "button", onclick: () => { this.list.follow = true; this.redraw(); } }, "To the end"));
		root.classList.add("flush");
		root.append(this.bar);
		this.list = new Lines(root, "Console", (line) => consoleLine(line));
		this.redraw = throttled(100, () => this.draw());
		this.off = [on("console", (event) => event.id === id && this.more())];
		this.unwatch = watch([id]);
		this.root = root;
		this.more();
	}

	errorButton() {
		const button = toggle("stderr only", this.errorsOnly, (next) => {
			this.errorsOnly = next;
			button.classList.toggle("on", next);
			button.setAttribute("aria-pressed", String(next));
			button.onclick = null;
			this.redraw();
		});
		button.replaceWith(button);
		return button;
	}

	async more() {
		if (this.asking) {
			this.again = true;
			return;
		}
		this.asking = true;
		try {
			const first = this.next === null;
			const answer = await data.console(this.id, first ? { tail: FIRST_LINES } : { from: this.next });
			this.next = answer.next;
			for (const line of answer.lines) this.all.push(line);
			if (this.all.length > KEPT_LINES) this.all.splice(0, this.all.length - KEPT_LINES);
			if (first && !isReport && answer.size != null && answer.start > 0) this.before = answer.start;
			this.redraw();
			if (answer.next < answer.size && answer.lines.length) this.again = true;
		} catch (error) {
			this.say.textContent = error.message;
		} finally {
			this.asking = false;
			if (this.again) {
				this.again = false;
				setTimeout(() => this.over || this.more(), 200);
			}
		}
	}

	draw() {
		const errors = this.errorsOnly;
		const lines = this.words || errors
			? this.all.filter((line) => (!errors || line.stream === "err") && line.text.toLowerCase().includes(this.words)) : this.all;
		this.say.textContent = lines.length === this.all.length ? count(lines.length, "line") : `${number(lines.length)} of ${count(this.all.length, "line")}`;
		this.list.show(lines);
	}

	destroy() {
		this.over = true;
		this.redraw.stop();
		this.unwatch();
		for (const off of this.off) off();
		this.list.destroy();
		this.root.classList.remove("flush");
	}
}

function consoleLine({ time, stream, producer, text }) {
	const long = text.length > LONGEST;
	return h(`div.line${stream === "err" ? ".err" : stream === "lost" ? ".lost" : ""}`, { title: long ? `${number(text.length)} letters` : null },
		h("time", null, clock(time)), producer && producer !== "main" ? h("span.who", null, cut(producer, 24)) : null,
		h("span.text", null, cut(text, LONGEST)));
}

export class Messages {
	constructor(root, id) {
		this.id = id;
		this.root = root;
		root.classList.add("flush");
		this.list = null;
		this.off = [on("runs", (changed) => changed.has(id) && runs.has(id) && this.reread())];
		this.reread = throttled(2000, () => this.load());
		this.all = [];
		this.next = null;
		this.load();
	}

	async load() {
		try {
			const answer = await data.messages(this.id, { from: this.next, limit: 5000 });
			if (this.over) return;
			this.next = answer.next;
			this.all.push(...answer.lines);
		} catch (error) {
			if (!this.all.length) put(this.root, blank("No messages", error.message));
			return;
		}
		if (!this.all.length) {
			put(this.root, blank("No messages", "The run's log is empty."));
			return;
		}
		if (!this.list) {
			put(this.root);
			this.list = new Lines(this.root, "Messages", ({ time, level, text, producer }) => h(`div.line.${level === "ERROR" ? "err" : level === "WARN" ? "lost" : "plainline"}`, null,
				h("time", null, clock(time)), h("span.who", null, cut(String(level ?? ""), 8)), producer ? h("span.who", null, cut(producer, 24)) : null, h("span.text", null, cut(text, LONGEST))));
		}
		// A message of several lines has several rows here.
		this.list.show(this.all.flatMap((one) => String(one.text).split("\n").map((text, at) => (at ? { text: `    ${text}` } : { ...one, text }))));
	}

	destroy() {
		this.over = true;
		this.reread.stop();
		for (const off of this.off) off();
		this.list?.destroy();
		this.root.classList.remove("flush");
	}
}

export class Stacks {
	constructor(root, id, details) {
		const place = h("div");
		const names = [...details.stacks].reverse();
		const list = h("div.chips", { role: "group", "aria-label": "Stacks" });
		const show = (name) => {
			for (const one of list.children) one.setAttribute("aria-pressed", String(one.dataset.name === name));
			into(place, () => data.stacks(id, name), (text) => place.append(h("pre.page", { tabindex: "0", "aria-label": "Stacks" }, cut(text, 1000000))));
		};
		list.append(...names.map((name) => {
			const button = h("button.toggle", { type: "button", "aria-pressed": "false", onclick: () => show(name) }, cut(name, 80));
			button.dataset.name = name;
			return button;
		}));
		root.append(h("div.overview", null, h("p.soft", null, "Stacks of all threads, as they were when the run stood still or when somebody asked."), list, place));
		show(names[0]);
	}

	destroy() {}
}
