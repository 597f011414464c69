// Saved files and tables of a run.

import { data, isReport } from "./data.js";
import { h, icon, put } from "./dom.js";
import { bytes, cut, exact, isNumber, number, shown } from "./format.js";
import { into } from "./parts.js";

const PAGE = 100;
const PICTURES = /\.(png|jpe?g|gif|webp|avif)$/i;

/** A table's rows; cells are text. */
export function tableView({ columns, rows }) {
	const names = columns.map((column) => (typeof column === "string" ? column : column.name));
	return h("div.scroll", { tabindex: "0", role: "region", "aria-label": "table" }, h("table.data.narrow", null,
		h("thead", null, h("tr", null, names.map((name) => h("th", { scope: "col" }, h("bdi", null, cut(name, 80)))))),
		h("tbody", null, rows.map((row) => h("tr", null, names.map((name, at) => {
			const value = Array.isArray(row) ? row[at] : row[name];
			return h(`td${isNumber(value) ? ".num" : ""}`, { title: exact(value) }, h("bdi", null, shown(value, 160)));
		}))))));
}

export class Tables {
	constructor(root, id, details) {
		this.id = id;
		const names = details.tables.map((one) => (typeof one === "string" ? one : one.path ?? one.file));
		this.place = h("div");
		const list = h("select", { "aria-label": "Table", onchange: () => this.show(list.value, 0) }, names.map((name) => h("option", { value: name }, cut(name, 120))));
		root.append(h("div.overview", null, h("div.chips", null, list), this.place));
		this.show(names[0], 0);
	}

	show(path, offset) {
		into(this.place, () => data.table(this.id, path, offset, PAGE), (answer) => {
			const total = answer.total ?? answer.rows.length;
			const to = offset + answer.rows.length;
			this.place.append(h("section.panel", null, tableView(answer), h("div.chips", null,
				h("button.toggle", { type: "button", disabled: offset === 0, onclick: () => this.show(path, Math.max(0, offset - PAGE)) }, "Earlier"),
				h("span.soft", null, `${number(Math.min(offset + 1, to))}–${number(to)} of ${number(total)}`),
				h("button.toggle", { type: "button", disabled: to >= total, onclick: () => this.show(path, offset + PAGE) }, "Later"))));
		});
	}

	destroy() {}
}

export class Artifacts {
	constructor(root, id, details) {
		this.id = id;
		this.preview = h("section.panel.preview", { hidden: true, "aria-label": "Preview" });
		const rows = details.artifacts.slice(0, 2000).map((one) => h("tr", null,
			h("td", null, h("button.plain.inline", { type: "button", title: "Preview", onclick: () => this.show(one) }, h("bdi", null, cut(one.path.replace(/^artifacts\//, ""), 160)))),
			h("td.num", null, bytes(one.size)), h("td", null, cut(String(one.kind ?? ""), 20)),
			h("td", null, isReport ? null : h("a.icon", { href: data.artifactUrl(id, one.path), download: one.path.split("/").pop(), "aria-label": `download ${cut(one.path, 100)}`, title: "Download" }, icon("down")))));
		root.append(h("div.overview", null, h("section.panel", null, h("h2", null, "Files"), h("div.scroll", { tabindex: "0", role: "region", "aria-label": "Files" }, h("table.data", null,
			h("thead", null, h("tr", null, ["File", "Size", "Kind"].map((text) => h("th", { scope: "col" }, text)), h("th", { scope: "col" }, h("span.unseen", null, "Download")))), h("tbody", null, rows)))), this.preview));
		if (details.artifacts_left_out) this.preview.before(h("p.soft", null, `${number(details.artifacts_left_out)} more are not listed`));
	}

	show(one) {
		this.preview.hidden = false;
		const body = h("div");
		put(this.preview, h("h2", null, h("bdi", null, cut(one.path, 200))), body);
		if (PICTURES.test(one.path) && !isReport) {
			body.append(h("img", { src: data.artifactUrl(this.id, one.path), alt: cut(one.path, 200) }));
		} else if (/\.(parquet|csv)$/i.test(one.path)) {
			into(body, () => data.table(this.id, one.path, 0, PAGE), (answer) => body.append(tableView(answer)));
		} else into(body, () => data.artifactText(this.id, one.path), (text) => body.append(h("pre", { tabindex: "0", "aria-label": "Preview" }, text)));
		this.preview.scrollIntoView({ block: "nearest" });
	}

	destroy() {}
}
