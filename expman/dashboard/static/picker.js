// The list of runs beside curves and comparisons: choose, hover, color.

import { h, icon } from "./dom.js";
import { chooser, filterBox, pickColor, statusMark } from "./parts.js";
import { swatch } from "./chart.js";
import { runs } from "./live.js";
import { visibleRuns } from "./model.js";
import { isDark, lineStyle } from "./palette.js";
import { choose, chosen, idPath, isChosen, setState, slotOf, state } from "./state.js";
import { VirtualList } from "./virtual.js";

const ROW = 30;
const ALL_AT_ONCE = 100;

let counted = null;
/** Whether the runs belong to several experiments. */
function severalOf(ids) {
	if (counted?.ids !== ids) counted = { ids, several: new Set(ids.map((id) => id.slice(0, id.indexOf("/")))).size > 1 };
	return counted.several;
}

export class RunPicker {
	constructor(host, { onHover } = {}) {
		this.onHover = onHover;
		this.filter = filterBox();
		this.head = h("div.pickhead");
		this.viewport = h("div.picklist", { role: "group", "aria-label": "Runs", tabindex: "-1" });
		host.append(this.filter.element, this.head, this.viewport);
		this.list = new VirtualList(this.viewport, { height: ROW, row: (index) => this.row(index) });
		this.update();
	}

	update() {
		this.filter.update();
		const on = chosen();
		const there = visibleRuns();
		// The chosen ones stand first, so that they can be seen among thousands.
		const first = on.filter((id) => runs.has(id));
		const rest = there.filter((run) => !isChosen(run.id)).map((run) => run.id);
		this.ids = [...first, ...rest];
		const shownOf = there.length;
		this.head.replaceChildren(
			h("span.soft", null, `${first.length} shown · ${shownOf === runs.size ? runs.size : `${shownOf} of ${runs.size}`}`),
			h("span.grow"),
			h("button.plain", {
				type: "button", title: `Show the first ${ALL_AT_ONCE} that the filter keeps`,
				onclick: () => choose(there.slice(0, ALL_AT_ONCE).map((run) => run.id), true),
			}, "all"),
			h("button.plain", { type: "button", title: "Show none", onclick: () => setState({ sel: [] }) }, "none"),
		);
		this.list.show(this.ids.length);
	}

	row(index) {
		const id = this.ids[index];
		const run = runs.get(id);
		const on = isChosen(id);
		const name = id;
		const line = on
			? h("button.swatchbutton", { type: "button", "aria-label": `color of ${name}`, title: "Change the color", onclick: () => pickColor(id) },
				swatch(lineStyle(slotOf(id), isDark())))
			: h("span.swatchbutton");
		const box = chooser(id, `show ${name}`);
		box.removeAttribute("tabindex");
		return h(`div.pickrow${on ? ".on" : ""}`, {
			onpointerenter: () => on && this.onHover?.(id), onpointerleave: () => this.onHover?.(null),
		}, h("label.picklabel", { title: `${id}\n${run?.description ?? ""}` }, box, h("span.name", null, run?.run ?? name), severalOf(this.ids) ? h("span.of", null, run?.experiment) : null), line,
		run ? statusMark(run, { word: false }) : null,
		h("a.go", { href: `#/run/${idPath(id)}`, "aria-label": `open ${name}`, title: "Open the run" }, icon("chevron")));
	}

	destroy() {
		this.list.destroy();
	}
}
