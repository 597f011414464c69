// Small parts that several views have: status, swatches, filter box, choices.

import { debounced, h, iconButton, openDialog } from "./dom.js";
import { ago, duration } from "./format.js";
import { now, runs } from "./live.js";
import { filterNow, standing } from "./model.js";
import { isDark, lineStyle, SLOTS } from "./palette.js";
import { choose, isChosen, setSlot, setState, slotOf, state } from "./state.js";
import { swatch } from "./chart.js";

const SIGNS = { RUNNING: "●", STALLED: "◐", FINISHED: "✓", FAILED: "✕", CRASHED: "✕", SILENT: "◌", UNREADABLE: "!", UNKNOWN: "?" };
const WORDS = { RUNNING: "running", STALLED: "stands still", FINISHED: "finished", FAILED: "failed", CRASHED: "crashed", SILENT: "no sign of life", UNREADABLE: "unreadable", UNKNOWN: "unknown" };

/** A sign and a word for how a run stands. */
export function statusMark(run, { word = true } = {}) {
	const kind = standing(run);
	const text = WORDS[kind] ?? String(kind).toLowerCase();
	let title = text;
	if (kind === "STALLED") title = `no row for ${duration(now() - run.stalled_since)}`;
	else if (kind === "SILENT") title = `said to be running, but the last sign of life is ${ago(run.heartbeat_at, now())}; expman recover finds out what became of it`;
	else if (kind === "RUNNING" && run.heartbeat_at) title = `running, last sign of life ${ago(run.heartbeat_at, now())}`;
	else if (run.error || run.reason) title = `${text}: ${String(run.error || run.reason).slice(0, 500)}`;
	return h(`span.status.${Object.hasOwn(SIGNS, kind) ? kind : "UNKNOWN"}`, { title },
		h("span.sign", { "aria-hidden": "true" }, SIGNS[kind] ?? "?"), word ? text : h("span.unseen", null, text));
}

/** The box that chooses a run for curves and comparisons; checked, it has the run's color. */
export function chooser(id, label) {
	const on = isChosen(id);
	const box = h("input.choose", {
		type: "checkbox", checked: on, tabindex: "-1", "aria-label": label,
		onclick: (event) => event.stopPropagation(),
		onchange: () => choose([id], box.checked),
	});
	if (on) box.style.setProperty("--own", lineStyle(slotOf(id), isDark()).color);
	return box;
}

/** Lets the user choose another color for a run. */
export function pickColor(id) {
	const list = h("div.slots", { role: "group" });
	const close = openDialog("Color of the run", h("div.pad", null, h("p.soft", null, runs.get(id)?.run ?? id), list));
	for (let slot = 0; slot < SLOTS; slot += 1) {
		list.append(h(`button.slot${slotOf(id) === slot ? ".on" : ""}`, {
			type: "button", "aria-label": `color ${slot + 1}`, "aria-pressed": String(slotOf(id) === slot),
			onclick: () => { setSlot(id, slot); close(); },
		}, swatch(lineStyle(slot, isDark()))));
	}
}

/** The filter box; the same text for all views. */
export function filterBox() {
	const say = h("div.filtererror", { role: "status" });
	const input = h("input.filter", {
		type: "search", value: state.q, spellcheck: "false", autocomplete: "off", "aria-label": "Filter runs",
		placeholder: "Filter: lr<0.01 and status=failed", title: FILTER_HELP,
		oninput: () => later(),
	});
	const later = debounced(120, () => setState({ q: input.value }));
	const update = () => {
		if (document.activeElement !== input && input.value !== state.q) input.value = state.q;
		const { error } = filterNow();
		say.textContent = error ?? "";
		input.setAttribute("aria-invalid", String(Boolean(error)));
	};
	update();
	return { element: h("div.filterbox", null, input, say), update, input };
}

const FILTER_HELP = `Compare with  < <= > >= = !=  and ~ (contains), name in (a, b); join with and, or, not, ( ).
Names are those of parameters, scalars, metrics and facts: status, experiment, started, took, host …
loss:min<0.2   the least value of a metric
started>2d and took>1h   began within two days, took an hour
team:vision    a tag; * stands for anything
anything else is searched in names, descriptions, notes and tags`;

/** A choice from a list. */
export function select(label, options, value, onchange, { plain } = {}) {
	const element = h("select", {
		"aria-label": label, title: label, onchange: () => onchange(element.value),
	}, options.map(([key, text]) => h("option", { value: key }, text)));
	element.value = value;
	return plain ? element : h("label.field", null, h("span", null, label), element);
}

/** A button that is on or off. */
export function toggle(text, on, onchange, title) {
	return h(`button.toggle${on ? ".on" : ""}`, {
		type: "button", "aria-pressed": String(on), title: title || null, onclick: () => onchange(!on),
	}, text);
}

/** On a narrow screen: the button that opens the list of runs; a touch beside the list closes it. */
export function drawerButton(side) {
	const close = (event) => {
		if (side.contains(event.target) && event.key !== "Escape") return;
		side.classList.remove("open");
		removeEventListener("pointerdown", close, true);
		removeEventListener("keydown", escape, true);
	};
	const escape = (event) => event.key === "Escape" && close(event);
	return h("button.toggle.mobile", {
		type: "button", onclick: () => {
			side.classList.add("open");
			side.querySelector("input")?.focus();
			addEventListener("pointerdown", close, true);
			addEventListener("keydown", escape, true);
		},
	}, "runs");
}

/** What is shown when there is nothing to show. */
export function blank(title, ...text) {
	return h("div.blank", null, h("h2", null, title), ...text.map((one) => h("p", null, one)));
}

export function closeButton(label, onclick) {
	return iconButton("close", label, onclick);
}

/** Loads something into a place: says that it waits, and says what went wrong. */
export async function into(place, load, draw) {
	place.replaceChildren(h("div.waiting", { role: "status" }, "loading…"));
	try {
		const value = await load();
		place.replaceChildren();
		draw(value, place);
	} catch (error) {
		place.replaceChildren(h("div.blank", { role: "alert" }, h("p", null, error.message || String(error))));
		if (!error.status) throw error;
	}
}
