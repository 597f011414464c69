// Where the data comes from: the server, or a report that carries them. No view knows which.

import { joined, readTable } from "./arrow.js";
import { own } from "./dom.js";

const embedded = document.getElementById("expman-report");

export const isReport = embedded !== null;

/** What an answer that is an error says. */
export class AnswerError extends Error {
	constructor(status, text) {
		super(text);
		this.status = status;
	}
}

// A browser opens six connections to a host; the events have one of them.
const LIMIT = 4;
let running = 0;
const queue = [];

async function ask(path, options) {
	if (running >= LIMIT) await new Promise((resolve) => queue.push(resolve));
	running += 1;
	try {
		const answer = await fetch(path, { credentials: "same-origin", ...options });
		if (!answer.ok) throw new AnswerError(answer.status, await sentence(answer));
		return { headers: answer.headers, body: options?.binary ? await answer.arrayBuffer() : await answer.text() };
	} finally {
		running -= 1;
		queue.shift()?.();
	}
}

async function sentence(answer) {
	const text = (await answer.text()).slice(0, 500);
	try {
		const value = JSON.parse(text);
		return String(value.error ?? value.detail ?? text);
	} catch {
		return text || `the server answered ${answer.status}`;
	}
}

async function askJson(path) {
	return JSON.parse((await ask(path)).body);
}

function query(values) {
	const parts = new URLSearchParams();
	for (const [key, value] of Object.entries(values)) {
		if (Array.isArray(value)) for (const one of value) parts.append(key, one);
		else if (value != null) parts.set(key, value);
	}
	return parts.toString();
}

function runPath(run, part = "", more = {}) {
	return `api/run${part}?${query({ run, ...more })}`;
}

async function change(method, path, body) {
	await ask(path, {
		method,
		headers: { "X-Expman": "1", "Content-Type": "application/json" },
		body: JSON.stringify(body ?? {}),
	});
}

// ---- Arrow

function fromBase64(text) {
	if (Uint8Array.fromBase64) return Uint8Array.fromBase64(text);
	const letters = atob(text);
	const bytes = new Uint8Array(letters.length);
	for (let at = 0; at < letters.length; at += 1) bytes[at] = letters.charCodeAt(at);
	return bytes;
}

/** A table of curves as [{ metric, producer, x, y, attempt, time }], in the order of its rows. */
function splitCurves(buffer) {
	const { rows, columns } = readTable(buffer);
	const [metric, producer, ...numbers] = ["metric", "producer", "x", "y", "attempt", "t"].map((name) => columns.get(name));
	const curves = new Map();
	for (let start = 0, at = 1; at <= rows; at += 1) {
		if (at < rows && metric.values[at] === metric.values[start] && producer.values[at] === producer.values[start]) continue;
		const names = [metric.words[metric.values[start]], producer.words[producer.values[start]]];
		const key = names.join("\u0000");
		if (!curves.has(key)) curves.set(key, { names, pieces: [] });
		curves.get(key).pieces.push([start, at]);
		start = at;
	}
	return [...curves.values()].map(({ names, pieces }) => {
		const [x, y, attempt, time] = numbers.map((column) => column && joined(pieces.map((piece) => column.values.subarray(...piece))));
		return { metric: names[0], producer: names[1], x, y, attempt: attempt ?? null, time: time ?? null };
	});
}

/** A table of columns by name: Map name → Float64Array. */
function columnsOf(buffer) {
	return new Map([...readTable(buffer).columns].map(([name, { values }]) => [name, values]));
}

// ---- what the views ask for

const fromServer = {
	info: () => askJson("api/info"),
	runs: (since) => askJson(`api/runs${since ? `?since=${encodeURIComponent(since)}` : ""}`),
	async curves(id, metrics, { x, from, to, points, by, after }) {
		const text = query({ run: id, metric: metrics, x, from, to, points, by, after });
		const { headers, body } = await ask(`api/curves?${text}`, { binary: true });
		return {
			cursor: headers.get("X-Expman-Cursor") || "",
			rows: Number(headers.get("X-Expman-Rows") || 0),
			decimated: headers.get("X-Expman-Decimated") === "1",
			curves: body.byteLength ? splitCurves(body) : [],
		};
	},
	run: (id) => askJson(runPath(id)),
	console: (id, options) => askJson(runPath(id, "/console", options)),
	messages: (id, options) => askJson(runPath(id, "/messages", options)),
	async system(id, points = 1500) {
		return columnsOf((await ask(runPath(id, "/system", { points }), { binary: true })).body);
	},
	media: (id, tag) => askJson(runPath(id, "/media", { tag })),
	mediaUrl: (id, path) => runPath(id, "/media/file", { path }),
	async mediaText(id, path) {
		return (await ask(runPath(id, "/media/file", { path }))).body;
	},
	histograms: (id, tag) => askJson(runPath(id, "/histograms", { tag })),
	table: (id, path, offset, limit) => askJson(runPath(id, "/table", { path, offset, limit })),
	artifactUrl: (id, path) => runPath(id, "/artifact", { path }),
	async artifactText(id, path) {
		return (await ask(runPath(id, "/artifact", { path, preview: 1 }))).body;
	},
	async stacks(id, name) {
		return (await ask(runPath(id, "/stacks", { name }))).body;
	},
	compare: (ids, metric) => askJson(`api/compare?${query({ run: ids, metric })}`),
	edit: (id, values) => change("PATCH", runPath(id), values),
	remove: (id) => change("DELETE", runPath(id)),
};

const MISSING = "this is not in the report";

/** What an element of the report carries: base64 of gzip. */
async function unpacked(element) {
	// Not by way of a Blob, whose bytes would go to another process and back.
	const { readable, writable } = new DecompressionStream("gzip");
	const writer = writable.getWriter();
	writer.write(fromBase64(element.textContent.trim()));
	writer.close();
	return new Response(readable).arrayBuffer();
}

let reading = null;
function report() {
	reading ??= unpacked(embedded).then((bytes) => JSON.parse(new TextDecoder().decode(bytes)));
	return reading;
}

async function part(name, id, key) {
	const all = await report();
	const found = key === undefined ? own(all[name], id) : own(own(all[name], id), key);
	if (found === undefined) throw new AnswerError(404, MISSING);
	return found;
}

/** The table of a run that stands in an element of its own, or null. */
async function tableOf(kind, id) {
	const { runs } = await report();
	const element = document.getElementById(`expman-${kind}-${runs.findIndex((run) => run.id === id)}`);
	return element ? unpacked(element) : null;
}

const decoded = new Map();
function reportCurves(id) {
	if (!decoded.has(id)) decoded.set(id, tableOf("curves", id).then((bytes) => (bytes ? splitCurves(bytes) : [])));
	return decoded.get(id);
}

function withX(curve, all, x) {
	if (x === "step") return curve;
	if (x === "time") return { ...curve, x: curve.time ?? curve.x };
	if (x === "relative") {
		if (!curve.time) return curve;
		let first = Infinity;
		for (const one of all) if (one.time && one.time[0] < first) first = one.time[0];
		return { ...curve, x: curve.time.map((time) => time - first) };
	}
	const other = all.find((one) => one.metric === x && one.producer === curve.producer);
	if (!other) return { ...curve, x: new Float64Array(0), y: new Float64Array(0), attempt: null };
	const byStep = new Map();
	other.x.forEach((step, at) => byStep.set(step, other.y[at]));
	return { ...curve, x: curve.x.map((step) => byStep.get(step) ?? NaN) };
}

const fromReport = {
	info: async () => ({ ...(await report()).info, read_only: true }),
	runs: async () => ({ version: "report", full: true, runs: (await report()).runs, removed: [] }),
	async curves(id, metrics, { x, from, to }) {
		const all = await reportCurves(id);
		const curves = all.filter((one) => metrics.includes(one.metric)).map((one) => withX(one, all, x));
		const inside = (value) => (from == null || value >= from) && (to == null || value <= to);
		const cutOut = (curve) => {
			if (from == null && to == null) return curve;
			const keep = (_, at) => inside(curve.x[at]);
			return { ...curve, x: curve.x.filter(keep), y: curve.y.filter(keep), attempt: curve.attempt?.filter(keep) ?? null };
		};
		return { cursor: "", rows: curves.reduce((sum, curve) => sum + curve.x.length, 0), decimated: false, curves: curves.map(cutOut) };
	},
	run: (id) => part("details", id),
	console: (id) => part("console", id),
	messages: (id, { from }) => (from == null ? part("messages", id) : { lines: [], next: from }),
	async system(id) {
		const bytes = await tableOf("system", id);
		if (!bytes) throw new AnswerError(404, MISSING);
		return columnsOf(bytes);
	},
	media: async (id, tag) => (await part("media", id)).filter((one) => !tag || one.tag === tag),
	mediaUrl: () => "",
	async mediaText(id, path) {
		const item = (await part("media", id)).find((one) => one.file === path);
		if (!item?.url) throw new AnswerError(404, MISSING);
		const [head, body] = item.url.split(",", 2);
		return head.endsWith(";base64") ? new TextDecoder().decode(fromBase64(body)) : decodeURIComponent(body);
	},
	histograms: (id, tag) => part("histograms", id, tag),
	table: (id, path) => part("tables", id, path),
	artifactUrl: () => "",
	artifactText: () => part("artifacts", ""),
	stacks: (id, name) => part("stacks", id, name),
	compare: async () => (await report()).compare ?? { params: {}, metrics: {}, provenance: {}, same_count: 0 },
};

export const data = isReport ? fromReport : fromServer;
