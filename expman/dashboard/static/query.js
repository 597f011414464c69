// The language of filters, that of docs/reference/filters.md: lr < 0.01 and status = finished.
// The page takes two more things: words that are searched everywhere, and team:vision for a tag.

import { own } from "./dom.js";
import { toNumber } from "./format.js";

const FIELDS = new Map([
	["status", "status"], ["run", "run"], ["name", "run"], ["experiment", "experiment"], ["id", "id"], ["path", "id"],
	["project", "project"], ["group", "group"], ["host", "host"], ["rank", "rank"], ["rows", "rows"],
	["attempts", "attempts"], ["commit", "commit"], ["description", "description"], ["notes", "notes"],
	["error", "error"], ["reason", "reason"], ["tag", "tagList"], ["tags", "tagList"],
]);
const TIMES = new Map([["started", "started_at"], ["started_at", "started_at"], ["finished", "finished_at"], ["finished_at", "finished_at"]]);
const SPANS = new Set(["duration_s", "duration", "took", "age"]);
const UNITS = new Map([["s", 1], ["m", 60], ["h", 3600], ["d", 86400], ["w", 604800]]);
const STATISTICS = ["last", "min", "max"];
const OPERATORS = ["=", "!=", "<", "<=", ">", ">=", "~", "!~"];
const SIGNS = new Map([["==", "="], ["&&", "and"], ["||", "or"], ["!", "not"]]);
const WORDS = new Set(["and", "or", "not", "in"]);
const MOST_LEVELS = 50;

/** How long a run has taken so far. */
export function durationOf(run, now) {
	if (run.duration_s != null) return run.duration_s;
	if (run.started_at == null) return null;
	const end = run.finished_at ?? (run.status === "RUNNING" ? now : run.heartbeat_at);
	return end == null ? null : Math.max(0, end - run.started_at);
}

/** The value that a name stands for in a run: a field, parameter, scalar, last value of a metric, or tag. */
export function lookUp(run, name, now = Date.now() / 1000) {
	if (FIELDS.has(name)) return run[FIELDS.get(name)];
	if (TIMES.has(name)) return run[TIMES.get(name)];
	if (name === "age") return run.started_at == null ? null : now - run.started_at;
	if (SPANS.has(name)) return durationOf(run, now);
	if (name.startsWith("params.")) return own(run.params, name.slice(7));
	if (name.startsWith("scalars.")) return own(run.scalars, name.slice(8));
	const colon = name.lastIndexOf(":");
	if (colon > 0 && STATISTICS.includes(name.slice(colon + 1))) {
		const value = own(run[name.slice(colon + 1)], name.slice(0, colon));
		if (value !== undefined) return value;
	}
	for (const where of ["params", "scalars", "last", "tags"]) {
		const value = own(run[where], name);
		if (value !== undefined) return value;
	}
	return undefined;
}

/** Whether a name is that of a fact of any run. */
export function isFact(name) {
	return FIELDS.has(name) || TIMES.has(name) || SPANS.has(name);
}

/** Words and signs; a word is of characters and quoted pieces without a blank between them. */
function tokensOf(text) {
	const found = [];
	const sign = /==|!=|<=|>=|!~|&&|\|\||[=<>~(),!]/y;
	let at = 0;
	while (at < text.length) {
		if (/\s/.test(text[at])) {
			at += 1;
			continue;
		}
		sign.lastIndex = at;
		const match = sign.exec(text);
		if (match) {
			found.push({ kind: SIGNS.get(match[0]) ?? match[0], text: match[0] });
			at += match[0].length;
			continue;
		}
		let word = "";
		let quoted = false;
		while (at < text.length && !/[\s=<>~(),!]/.test(text[at])) {
			const quote = text[at];
			at += 1;
			if (quote !== '"' && quote !== "'") {
				word += quote;
				continue;
			}
			quoted = true;
			while (at < text.length && text[at] !== quote) {
				if (text[at] === "\\" && at + 1 < text.length) at += 1;
				word += text[at];
				at += 1;
			}
			if (at >= text.length) throw new Error(`this quote ${quote} has no end`);
			at += 1;
		}
		const low = word.toLowerCase();
		found.push({ kind: !quoted && WORDS.has(low) ? low : "word", text: word, quoted });
	}
	return found;
}

/** Gives { test(run, now), error, names }: which runs a filter keeps, or what is wrong with it. */
export function parseFilter(text) {
	const names = [];
	let list;
	let at = 0;
	let level = 0;
	const peek = () => list[at]?.kind;
	const found = () => (list[at] ? `not ${list[at].text.slice(0, 40)}` : "at the end");

	function either() {
		const parts = [both()];
		while (peek() === "or") {
			at += 1;
			parts.push(both());
		}
		return parts.length === 1 ? parts[0] : (run, now) => parts.some((part) => part(run, now));
	}
	function both() {
		const parts = [single()];
		// Without "and" between them, words are searched together.
		while (peek() === "and" || ["word", "not", "("].includes(peek())) {
			if (peek() === "and") at += 1;
			parts.push(single());
		}
		return parts.length === 1 ? parts[0] : (run, now) => parts.every((part) => part(run, now));
	}
	function single() {
		if (peek() !== "not" && peek() !== "(") return comparisonOrText();
		level += 1;
		if (level > MOST_LEVELS) throw new Error(`more than ${MOST_LEVELS} levels`);
		const not = peek() === "not";
		at += 1;
		const inner = not ? single() : either();
		if (!not) {
			if (peek() !== ")") throw new Error(`a ) is missing, ${found()}`);
			at += 1;
		}
		level -= 1;
		return not ? (run, now) => !inner(run, now) : inner;
	}
	function comparisonOrText() {
		if (peek() !== "word") throw new Error(`a name is missing, ${found()}`);
		const name = list[at];
		at += 1;
		const negated = peek() === "not" && list[at + 1]?.kind === "in";
		if (negated) at += 1;
		if (peek() === "in") {
			names.push(name.text);
			at += 1;
			const literals = among(name.text);
			return (run, now) => negated !== literals.some((one) => compare(run, name.text, "=", one, now));
		}
		if (OPERATORS.includes(peek())) {
			names.push(name.text);
			const sign = list[at].kind;
			at += 1;
			const literal = literalOf(name.text);
			if (sign[0] === "!") return (run, now) => !compare(run, name.text, sign === "!=" ? "=" : "~", literal, now);
			return (run, now) => compare(run, name.text, sign, literal, now);
		}
		const colon = name.text.indexOf(":");
		return colon > 0 ? tagTest(name.text.slice(0, colon), name.text.slice(colon + 1)) : freeText(name.text);
	}
	function among(name) {
		if (peek() !== "(") throw new Error(`a list in parentheses is missing, ${found()}`);
		const literals = [];
		do {
			at += 1;
			literals.push(literalOf(name));
		} while (peek() === ",");
		if (peek() !== ")") throw new Error(`a comma or a ) is missing, ${found()}`);
		at += 1;
		return literals;
	}
	function literalOf(name) {
		if (peek() !== "word") throw new Error(`a value is missing after ${name}, ${found()}`);
		const { text: word, quoted } = list[at];
		at += 1;
		const literal = { text: word, quoted, ...meaning(word, quoted) };
		if (TIMES.has(name)) {
			literal.time = timeOf(word);
			if (!literal.time && literal.kind !== "null") throw new Error("expected a time (2026-01-31, 2026-01-31T12:00) or an age (90m, 12h, 7d)");
		} else if (SPANS.has(name) && literal.kind === "text") {
			const span = spanOf(word);
			if (span === null) throw new Error("expected seconds or a span of time, such as 90, 90s, 15m, 2h");
			Object.assign(literal, { kind: "number", value: span });
		}
		return literal;
	}

	try {
		list = tokensOf(text);
		if (!list.length) return { test: () => true, error: null, names };
		const test = either();
		if (at < list.length) throw new Error(`and, or, or the end is expected, ${found()}`);
		return { test: (run, now) => test(run, now ?? Date.now() / 1000), error: null, names };
	} catch (error) {
		return { test: () => true, error: error.message, names: [] };
	}
}

/** What a word without quotes is: null, a truth, a number, or a text. */
function meaning(word, quoted) {
	const low = word.toLowerCase();
	if (quoted) return { kind: "text" };
	if (low === "null" || low === "none") return { kind: "null" };
	if (low === "true" || low === "false") return { kind: "truth", value: low === "true" };
	if (/^[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?$/.test(low)) return { kind: "number", value: Number(low) };
	const named = /^([-+]?)(inf|infinity|nan)$/.exec(low);
	if (!named) return { kind: "text" };
	return { kind: "number", value: named[2] === "nan" ? NaN : named[1] === "-" ? -Infinity : Infinity };
}

function spanOf(word) {
	const match = /^(\d+\.?\d*|\.\d+)([smhdw])$/i.exec(word);
	return match ? Number(match[1]) * UNITS.get(match[2].toLowerCase()) : null;
}

/** A time as { from, to } (a day is long) or an age as { ago }. */
function timeOf(word) {
	const ago = spanOf(word);
	if (ago !== null) return { ago };
	const day = /^(\d{4})-(\d\d)-(\d\d)$/.exec(word);
	if (day) {
		const [year, month, date] = day.slice(1).map(Number);
		return { from: new Date(year, month - 1, date).getTime() / 1000, to: new Date(year, month - 1, date + 1).getTime() / 1000 };
	}
	const moment = /^\d{4}-\d\d-\d\dT/.test(word) ? Date.parse(word) / 1000 : NaN;
	return Number.isNaN(moment) ? null : { from: moment, to: moment };
}

function compare(run, name, sign, literal, now) {
	const value = lookUp(run, name, now);
	if (Array.isArray(value)) {
		return value.length ? value.some((one) => compareOne(one, sign, literal)) : compareOne(null, sign, literal);
	}
	if (value != null && literal.time) return compareTime(value, sign, literal.time, now);
	if (name === "status" && value != null) {
		return compareOne(String(value).toLowerCase(), sign, { ...literal, kind: "text", text: literal.text.toLowerCase() });
	}
	return compareOne(value, sign, literal);
}

function compareTime(value, sign, time, now) {
	const from = time.ago === undefined ? time.from : now - time.ago;
	const to = time.ago === undefined ? time.to : from;
	if (sign === "=") return from === to ? value === from : value >= from && value < to;
	if (sign === "<") return value < from;
	if (sign === ">=") return value >= from;
	if (sign === ">") return from === to ? value > from : value >= to;
	return sign === "<=" && (from === to ? value <= from : value < to);
}

function compareOne(value, sign, literal) {
	if (value == null) return sign === "=" && literal.kind === "null";
	if (sign === "~") return String(value).toLowerCase().includes(literal.text.toLowerCase());
	const given = typeof value === "boolean" ? null : toNumber(value);
	if (sign === "=") {
		if (literal.kind === "null") return false;
		if (typeof value === "boolean") return literal.kind === "truth" && literal.value === value;
		if (given !== null) return literal.kind === "number" && (given === literal.value || (Number.isNaN(given) && Number.isNaN(literal.value)));
		return textOf(value) === literal.text;
	}
	const numbers = given !== null && literal.kind === "number";
	if (!numbers && (given !== null || typeof value === "boolean" || literal.kind === "null")) return false;
	const [one, other] = numbers ? [given, literal.value] : [textOf(value), literal.text];
	if (sign === "<") return one < other;
	if (sign === "<=") return one <= other;
	return sign === ">" ? one > other : one >= other;
}

function textOf(value) {
	return typeof value === "object" ? JSON.stringify(value) : String(value);
}

function tagTest(key, value) {
	const wanted = matcher(value);
	if (key === "tag" || key === "tags") return (run) => run.tagList.some((tag) => wanted(tag));
	return (run, now) => {
		const tag = own(run.tags, key) ?? lookUp(run, key, now);
		return tag != null && (value === "" || wanted(String(tag)));
	};
}

function freeText(text) {
	const wanted = text.toLowerCase();
	const has = (value) => value != null && String(value).toLowerCase().includes(wanted);
	return (run) => has(run.id) || has(run.description) || has(run.notes) || has(run.status) || has(run.group) ||
		run.tagList.some(has);
}

function matcher(text) {
	const wanted = text.toLowerCase();
	if (!wanted.includes("*")) return (value) => value.toLowerCase() === wanted;
	const pieces = wanted.split("*").map((piece) => piece.replace(/[.+?^${}()|[\]\\]/g, "\\$&"));
	const pattern = new RegExp(`^${pieces.join(".*")}$`, "su");
	return (value) => pattern.test(value.toLowerCase());
}
