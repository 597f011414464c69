// What a run is, how it ended, and its last values.

import { h, put } from "./dom.js";
import { bytes, cut, duration, exact, moment, number, shown, toNumber } from "./format.js";
import { blank } from "./parts.js";

const LONGEST = 20000;

/** A long text that opens on demand. */
function longText(text, first = 160) {
	const whole = String(text);
	if (whole.length <= first) return h("bdi", null, whole);
	const place = h("bdi", null, cut(whole, first));
	const more = h("button.plain.inline", {
		type: "button", onclick: () => {
			place.textContent = cut(whole, LONGEST);
			more.remove();
		},
	}, `all ${bytes(whole.length)}`);
	return [place, more];
}

function valueOf(value) {
	if (value === null) return h("span.soft", null, "null");
	if (typeof value === "boolean") return h("span", null, String(value));
	if (toNumber(value) !== null) return h("span.value", { title: exact(value) }, number(toNumber(value), 7));
	return longText(typeof value === "object" ? JSON.stringify(value) : value);
}

/** A list of names and values, with a box to search if it is long. */
export function facts(title, entries, { search = entries.length > 14 } = {}) {
	if (!entries.length) return null;
	const list = h("dl.pairs");
	const draw = (words) => put(list, entries.filter(([name, value]) => !words || name.toLowerCase().includes(words) || shown(value).toLowerCase().includes(words))
		.slice(0, 1000).map(([name, value]) => h("div", null, h("dt", { title: cut(name, 500) }, h("bdi", null, cut(name, 200))), h("dd", null, value instanceof Node ? value : valueOf(value)))));
	draw("");
	const box = search ? h("input.find", { type: "search", placeholder: "Search", "aria-label": `Search in ${title}`, oninput: () => draw(box.value.toLowerCase()) }) : null;
	return h("section.panel", null, h("header", null, h("h2", null, title, h("span.soft", null, ` ${entries.length}`)), box), list);
}

function pre(text, label) {
	return h("pre", { tabindex: "0", "aria-label": label }, cut(String(text), 200000));
}

function fold(title, text, open) {
	if (!text || !text.length) return null;
	return h("details", { open }, h("summary", null, title), pre(Array.isArray(text) ? text.join("\n") : text, title));
}

/** How a run ended that did not end well, at the top of the page. */
function postmortem(details) {
	const found = details.postmortem;
	const bad = ["CRASHED", "FAILED"].includes(details.status);
	if (!found && !bad) return null;
	const reason = found?.reason ?? details.reason ?? details.error ?? "";
	const told = (found?.facts || []).filter((fact) => reason === "" || !fact.text.endsWith(reason));
	const cause = found?.cause ? `, ${cut(String(found.cause), 200)}` : "";
	return h("section.panel.post", { "aria-label": "How it ended" },
		h("h2", null, bad ? `The run ${details.status.toLowerCase()}${cause}` : cause ? `The run finished${cause}` : "The run stood still"),
		reason ? h("p.reason", null, cut(String(reason), 2000)) : null,
		told.length ? h("ul", null, told.map((fact) => h("li", null, cut(String(fact.text), 2000), " ", h("span.soft", null, cut(String(fact.source ?? ""), 100))))) : null,
		Object.keys(found?.nonfinite || {}).length ? h("p", null, "Not finite at the end: ", Object.entries(found.nonfinite).slice(0, 20)
			.map(([name, step]) => h("span.badge.bad", null, h("bdi", null, `${cut(name, 60)}, first at step ${shown(step)}`)))) : null,
		fold("Traceback", found?.traceback, true),
		fold("Stacks at the fault", found?.fatal_traceback, !found?.traceback),
		fold("Last lines of the console", found?.console, !found?.traceback && !found?.fatal_traceback),
		fold("Last messages", found?.log, false),
		found?.machine ? h("details", null, h("summary", null, "The machine, last sample"), facts("Machine", Object.entries(found.machine), { search: false })) : null);
}

export class Overview {
	constructor(root, id, details) {
		this.root = h("div.overview");
		root.append(this.root);
		this.details(details);
	}

	details(details) {
		const key = JSON.stringify([details.status, details.rows, details.heartbeat_at, details.notes, details.scalars]);
		if (key === this.key || this.root.contains(document.activeElement)) return;
		this.key = key;
		const meta = details.metadata || {};
		const git = details.provenance?.git || {};
		const host = meta.host || {};
		const lost = [["rows_dropped", "Rows dropped"], ["rows_missing", "Rows missing"], ["console_lines_lost", "Console lines lost"],
			["media_dropped", "Media dropped"], ["artifacts_missing", "Artifacts missing"], ["processes_lost", "Processes lost"], ["lanes_unreadable", "Producers not readable"], ["writer_restarts", "Writer restarts"]]
			.filter(([name]) => meta[name] > 0).map(([name, label]) => [label, h("span.bad", null, number(meta[name]))]);
		const about = [
			["Status", details.status], ["Reason", details.reason], ["Began", moment(details.started_at, true)], ["Ended", moment(details.finished_at, true)],
			["Duration", duration(details.duration_s)], ["Rows", details.rows], ["Attempts", details.attempts], ["Project", details.project], ["Group", details.group],
			["Rank", details.rank], ["Host", details.host], ["Process", host.pid == null ? null : h("span", null, String(host.pid))], ["Commit", git.commit], ["Branch", git.branch],
			["Uncommitted changes", git.dirty == null ? null : git.dirty ? "yes" : "no"], ["Command", details.provenance?.command], ["Directory", details.provenance?.cwd],
		].filter(([, value]) => value != null && value !== "");
		put(this.root, postmortem(details),
			(details.problems || []).length ? h("section.panel.post", null, h("h2", null, "What could not be read"), h("ul", null, details.problems.map((text) => h("li", null, cut(String(text), 1000))))) : null,
			h("div.panels", null,
				metricsPanel(details),
				facts("Parameters", Object.entries(details.params || {})),
				facts("Scalars", Object.entries(details.scalars || {})),
				facts("Earlier attempts", (meta.earlier_attempts || []).slice(0, 200).map((one, at) => [`${at + 1}`, [
					String(one.status ?? "").toLowerCase(), one.from_step == null ? null : `from step ${one.from_step}`, duration(one.duration_secs), one.host, one.reason,
				].filter(Boolean).join(", ")]), { search: false }),
				facts("About", [...about, ...lost], { search: false })));
		if (!this.root.firstChild) this.root.append(blank("Nothing recorded yet"));
	}

	destroy() {}
}

function metricsPanel(details) {
	const entries = Object.entries(details.metrics || {});
	if (!entries.length) return null;
	const cell = (value, step) => h("td.num", { title: `${exact(value)}${step == null ? "" : ` at step ${step}`}` },
		value == null ? "" : shown(value, 40));
	const row = ([name, one]) => h("tr", null, h("th", { scope: "row", title: cut(name, 500) }, h("bdi", null, cut(name, 80))),
		cell(one.last, one.last_step), cell(one.min, one.min_step), cell(one.max, one.max_step),
		h("td", null, one.nonfinite == null && one.nonfinite_step == null && one.first_nonfinite_step == null ? ""
			: h("span.badge.bad", { title: "the first value that is not finite" }, `${shown(one.nonfinite ?? "NaN")} at ${shown(one.nonfinite_step ?? one.first_nonfinite_step)}`)));
	return h("section.panel.wide", null, h("header", null, h("h2", null, "Metrics", h("span.soft", null, ` ${entries.length}`))),
		h("div.scroll", { tabindex: "0", role: "region", "aria-label": "Metrics" }, h("table.data", null,
			h("thead", null, h("tr", null, ["Metric", "Last", "Least", "Greatest", ""].map((text, at) => h(`th${at && text ? ".num" : ""}`, { scope: "col" }, text || h("span.unseen", null, "Not finite"))))),
			h("tbody", null, entries.slice(0, 500).map(row)))));
}

/** Lines of a diff with a sign and a color. */
export function diffLines(text) {
	return h("pre.diff", { tabindex: "0", "aria-label": "Uncommitted changes" }, cut(text, 500000).split("\n").map((line) => {
		const kind = line.startsWith("+++") || line.startsWith("---") || line.startsWith("diff ") ? "file" : line.startsWith("+") ? "more" : line.startsWith("-") ? "less" : line.startsWith("@@") ? "place" : "";
		return h(`span${kind ? `.${kind}` : ""}`, null, `${line}\n`);
	}));
}

export class Provenance {
	constructor(root, id, details) {
		const found = details.provenance || {};
		const git = { ...found.git };
		const diff = git.diff;
		delete git.diff;
		const flat = (value) => Object.entries(value || {}).map(([name, one]) => [name, one]);
		const rest = Object.entries(found).filter(([name]) => !["git", "packages", "host", "gpus", "interpreter", "limits", "scheduler", "notes"].includes(name));
		root.append(h("div.overview", null, h("div.panels", null,
			facts("Program", [...rest, ...flat(found.interpreter).map(([name, value]) => [`python ${name}`, value])], { search: false }),
			facts("Code", flat(git), { search: false }),
			facts("Host", [...flat(found.host), ...flat(found.limits)], { search: false }),
			(found.gpus || []).map((gpu) => facts(`GPU ${gpu.index ?? ""}`, flat(gpu), { search: false })),
			facts("Scheduler", flat(found.scheduler)),
			facts("Packages", flat(found.packages)),
			found.notes ? facts("Not found out", Object.entries(found.notes), { search: false }) : null),
		diff ? h("section.panel", null, h("h2", null, "Uncommitted changes"), git.diff_truncated_bytes ? h("p.soft", null, `${bytes(git.diff_truncated_bytes)} more were left out`) : null, diffLines(String(diff))) : null));
	}

	destroy() {}
}
