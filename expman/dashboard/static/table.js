// The table of runs: any number of rows, of which only the visible ones are elements.

import { h, icon, iconButton } from "./dom.js";
import { columnKind, columnLabel, columnText, columnTitle, isNumeric, runName, shownColumns } from "./model.js";
import { chooser, pickColor, statusMark } from "./parts.js";
import { runs } from "./live.js";
import { choose, idPath, isChosen, setState, state } from "./state.js";
import { VirtualList } from "./virtual.js";

const ROW = 34;
const WIDTHS = new Map([["started_at", 118], ["finished_at", 118], ["heartbeat_at", 118], ["duration", 104], ["rows", 86],
	["status", 122], ["experiment", 150], ["error", 280], ["description", 240], ["notes", 240], ["commit", 88]]);
const NAME_WIDTH = 250;

/** Rows are { run } or { group, count }. */
export class RunTable {
	constructor(host, { onGroup }) {
		this.onGroup = onGroup;
		this.rows = [];
		this.active = 0;
		this.widths = new Map();
		this.head = h("div.thead", { role: "row" });
		this.viewport = h("div.table", {
			role: "grid", "aria-label": "Runs", tabindex: "0", "aria-multiselectable": "true",
			onkeydown: (event) => this.key(event),
		}, h("div.theadgroup", { role: "rowgroup" }, this.head));
		host.append(this.viewport);
		this.list = new VirtualList(this.viewport, { height: ROW, before: ROW, row: (index) => this.row(index) });
		this.list.body.setAttribute("role", "rowgroup");
	}

	show(rows) {
		const activeId = this.rows[this.active]?.run?.id;
		this.rows = rows;
		if (activeId) {
			const at = rows.findIndex((row) => row.run?.id === activeId);
			if (at >= 0) this.active = at;
		}
		this.active = Math.max(0, Math.min(this.active, rows.length - 1));
		this.columns = shownColumns();
		this.makeHead();
		this.viewport.setAttribute("aria-rowcount", String(rows.length + 1));
		this.viewport.setAttribute("aria-colcount", String(this.columns.length + 2));
		this.list.show(rows.length);
		this.mark();
	}

	width(column) {
		const label = columnLabel(column).length * 7.2 + 30;
		return this.widths.get(column) ?? WIDTHS.get(column) ?? Math.min(180, Math.max(104, label + (columnKind(column) ? 46 : 0)));
	}

	makeHead() {
		// Read once: a read of the layout in each row would make the browser lay out each row.
		this.nameWidth = this.widths.get("run") ?? Math.min(NAME_WIDTH, Math.max(150, this.viewport.clientWidth * 0.42));
		const many = this.rows.filter((row) => row.run);
		const all = many.length > 0 && many.every((row) => isChosen(row.run.id));
		const some = h("input.choose", {
			type: "checkbox", checked: all, "aria-label": "choose all that are listed",
			onchange: (event) => choose(many.slice(0, 200).map((row) => row.run.id), event.target.checked),
		});
		this.head.replaceChildren(
			h("div.cell.pick.stick", { role: "columnheader", "aria-label": "chosen" }, some),
			this.headCell("run", "Run", this.nameWidth, "stick.namecell"),
			this.headCell("status", "Status", this.width("status"), ""),
			...this.columns.map((column) => this.headCell(column, columnLabel(column), this.width(column), "")),
		);
		const total = 38 + this.nameWidth + this.width("status") + this.columns.reduce((sum, one) => sum + this.width(one), 0);
		this.head.style.width = this.list.body.style.width = `${total}px`;
	}

	headCell(column, label, width, classes) {
		const sorted = state.sort === column ? "up" : state.sort === `-${column}` ? "down" : "";
		const edge = h("span.edge", { "aria-hidden": "true", onpointerdown: (event) => this.resize(event, column, width), onclick: (event) => event.stopPropagation() });
		const numeric = this.rows.slice(0, 40).some((row) => row.run && isNumeric(row.run, column));
		const cell = h(`div.cell${classes ? `.${classes}` : ""}${numeric ? ".num" : ""}`, {
			role: "columnheader", title: column, draggable: this.columns.includes(column) ? "true" : null,
			"aria-sort": sorted === "up" ? "ascending" : sorted === "down" ? "descending" : "none",
			ondragstart: (event) => event.dataTransfer.setData("text/x-expman-column", column),
			ondragover: (event) => event.dataTransfer.types.includes("text/x-expman-column") && event.preventDefault(),
			ondrop: (event) => this.moveColumn(event.dataTransfer.getData("text/x-expman-column"), column),
		}, h("button.headbutton", {
			type: "button", tabindex: "-1", onclick: () => setState({ sort: sorted === "down" ? column : `-${column}` }),
		}, h("bdi", null, label), columnKind(column) ? h("span.kind", null, columnKind(column)) : null, sorted ? h(`span.sorted.${sorted}`, { "aria-hidden": "true" }, icon("up")) : null), edge);
		cell.style.width = `${width}px`;
		return cell;
	}

	moveColumn(from, to) {
		const columns = [...this.columns];
		if (from === to || !columns.includes(from) || !columns.includes(to)) return;
		const forth = columns.indexOf(from) < columns.indexOf(to);
		columns.splice(columns.indexOf(from), 1);
		columns.splice(columns.indexOf(to) + (forth ? 1 : 0), 0, from);
		setState({ cols: columns });
	}

	resize(event, column, width) {
		event.preventDefault();
		const start = event.clientX;
		const edge = event.target;
		edge.setPointerCapture(event.pointerId);
		edge.onpointermove = (move) => {
			this.widths.set(column, Math.max(60, width + move.clientX - start));
			this.head.querySelectorAll(".cell").forEach((cell) => {
				if (cell.title === column) cell.style.width = `${this.widths.get(column)}px`;
			});
		};
		edge.onpointerup = () => this.show(this.rows);
	}

	row(index) {
		const row = this.rows[index];
		if (row.group !== undefined) return this.groupRow(row, index);
		const { run } = row;
		const on = isChosen(run.id);
		const element = h(`div.row${on ? ".on" : ""}`, {
			role: "row", "aria-rowindex": String(index + 2), "aria-selected": String(on),
			onclick: (event) => this.clicked(event, index),
		});
		const pick = h("div.cell.pick.stick", { role: "gridcell" }, chooser(run.id, `choose ${run.run}`));
		const name = h("div.cell.namecell.stick", { role: "gridcell", title: run.description ? `${run.id}\n${run.description}` : run.id },
			h("a.name", { href: `#/run/${idPath(run.id)}`, tabindex: "-1" }, h("bdi", null, runName(run.id, [run.id]))),
			state.pins.includes(run.id) ? h("span.pinned", { title: "pinned" }, icon("pin")) : null);
		name.style.width = `${this.nameWidth}px`;
		const status = h("div.cell", { role: "gridcell" }, statusMark(run));
		status.style.width = `${this.width("status")}px`;
		element.append(pick, name, status);
		for (const column of this.columns) {
			const cell = h(`div.cell${isNumeric(run, column) ? ".num" : ""}`, { role: "gridcell", title: columnTitle(run, column) }, h("bdi", null, columnText(run, column)));
			cell.style.width = `${this.width(column)}px`;
			element.append(cell);
		}
		if (index === this.active) element.classList.add("active");
		return element;
	}

	groupRow(row, index) {
		return h("div.row.grouprow", { role: "row", "aria-rowindex": String(index + 2) },
			h("div.cell.stick", { role: "gridcell" },
				h("button.groupname", { type: "button", tabindex: "-1", "aria-expanded": String(!row.closed), onclick: () => this.onGroup(row.group) },
					icon("chevron"), h("bdi", null, row.group), h("span.soft", null, String(row.count)))),
			h("div.cell.soft", { role: "gridcell" }, row.summary || ""));
	}

	clicked(event, index) {
		if (event.target.closest("a, input, button")) return;
		this.active = index;
		const { run } = this.rows[index];
		if (event.shiftKey && this.anchor !== undefined) {
			const [from, to] = [Math.min(this.anchor, index), Math.max(this.anchor, index)];
			choose(this.rows.slice(from, to + 1).filter((row) => row.run).map((row) => row.run.id), true);
		} else choose([run.id], !isChosen(run.id));
		this.anchor = index;
		this.mark();
	}

	key(event) {
		if (event.target !== this.viewport && !["ArrowUp", "ArrowDown"].includes(event.key)) return;
		const page = Math.max(1, Math.floor(this.viewport.clientHeight / ROW) - 2);
		const moves = { ArrowDown: 1, ArrowUp: -1, PageDown: page, PageUp: -page, Home: -Infinity, End: Infinity };
		const row = this.rows[this.active];
		if (Object.hasOwn(moves, event.key)) {
			this.active = Math.max(0, Math.min(this.rows.length - 1, this.active + moves[event.key]));
			this.list.reveal(this.active);
			this.mark();
		} else if (event.key === " " && row) {
			if (row.run) choose([row.run.id], !isChosen(row.run.id));
			else this.onGroup(row.group);
		} else if (event.key === "Enter" && row?.run) location.hash = `#/run/${idPath(row.run.id)}`;
		else if (event.key === "p" && row?.run) togglePin(row.run.id);
		else if (event.key === "c" && row?.run && runs.has(row.run.id)) pickColor(row.run.id);
		else return;
		event.preventDefault();
	}

	mark() {
		for (const [index, element] of this.list.rows) {
			const on = index === this.active;
			element.classList.toggle("active", on);
			if (on) {
				element.id = "active-row";
				this.viewport.setAttribute("aria-activedescendant", "active-row");
			} else element.removeAttribute("id");
		}
	}

	destroy() {
		this.list.destroy();
	}
}

export function togglePin(id) {
	const pins = state.pins.includes(id) ? state.pins.filter((one) => one !== id) : [...state.pins, id];
	setState({ pins });
}

export function pinButton(id) {
	return iconButton("pin", state.pins.includes(id) ? "Unpin" : "Pin to the top", () => togglePin(id));
}
