// Pictures, sounds, videos and texts of a run, by step.

import { data } from "./data.js";
import { h, openDialog, put } from "./dom.js";
import { count, cut, number } from "./format.js";
import { into } from "./parts.js";
import { setState, state } from "./state.js";
import { tableView } from "./run_files.js";

const PAGE = 60;

export class Media {
	constructor(root, id, details) {
		this.id = id;
		this.tags = [...new Set(details.media.map((one) => (typeof one === "string" ? one : one.tag)))];
		this.root = h("div.media");
		root.append(this.root);
		this.byTag = new Map();
		this.slots = new Map();
		for (const tag of this.tags.slice(0, 200)) this.section(tag);
	}

	section(tag) {
		const body = h("div.mediabody");
		const foot = h("div.mediafoot");
		this.root.append(h("section.panel", null, h("header", null, h("h2", null, h("bdi", null, cut(tag, 120)))), foot, body));
		const load = () => into(body, () => data.media(this.id, tag), (items) => this.show(tag, items.filter((item) => item.tag === tag), body, foot));
		// Only what is scrolled to is loaded.
		const seen = new IntersectionObserver((changes) => {
			if (!changes.some((change) => change.isIntersecting)) return;
			seen.disconnect();
			load();
		}, { rootMargin: "200px" });
		seen.observe(body);
		this.slots.set(tag, seen);
	}

	show(tag, items, body, foot) {
		const steps = [...new Set(items.map((item) => item.step))].sort((one, other) => (one ?? -1) - (other ?? -1));
		const draw = (at) => {
			const step = steps[at];
			label.textContent = step == null ? "no step" : `step ${number(step)}`;
			const there = items.filter((item) => item.step === step);
			put(body, h("div.mediagrid", null, there.slice(0, PAGE).map((item) => this.item(item))),
				there.length > PAGE ? h("p.soft", null, `and ${there.length - PAGE} more`) : null);
		};
		const label = h("output.soft");
		const wanted = state.tag === tag ? steps.findIndex((step) => String(step) === state.at) : -1;
		const start = wanted >= 0 ? wanted : steps.length - 1;
		if (steps.length > 1) {
			const slider = h("input", {
				type: "range", min: "0", max: String(steps.length - 1), value: String(start), step: "1", "aria-label": `step of ${cut(tag, 80)}`,
				oninput: () => {
					draw(Number(slider.value));
					setState({ tag, at: String(steps[Number(slider.value)]) });
				},
			});
			slider.value = String(start);
			put(foot, slider, label, h("span.soft", null, count(steps.length, "step")));
		} else put(foot, label);
		draw(start);
	}

	item(item) {
		const url = item.url || data.mediaUrl(this.id, item.file);
		const caption = item.caption || (item.producer && item.producer !== "main" ? item.producer : "");
		return h("figure", null, this.content(item, url), caption ? h("figcaption.soft", null, cut(String(caption), 300)) : null);
	}

	content(item, url) {
		const label = `${item.tag}, step ${item.step ?? "—"}`;
		if (item.kind === "image") {
			const image = h("img", { src: url, alt: cut(label, 200), loading: "lazy" });
			image.addEventListener("error", () => image.replaceWith(h("p.bad", null, "the picture cannot be shown")));
			image.addEventListener("load", () => image.classList.toggle("small", image.naturalWidth < 160));
			return h("button.picture", { type: "button", "aria-label": `enlarge ${cut(label, 150)}`, onclick: () => openDialog(cut(label, 100), h("div.enlarged", null, h("img", { src: url, alt: cut(label, 200) })), { wide: true }) }, image);
		}
		if (item.kind === "audio") return h("audio", { controls: true, src: url, preload: "none", "aria-label": cut(label, 200) });
		if (item.kind === "video") {
			if (/\.(png|apng|gif|webp)$/i.test(item.file)) return h("img", { src: url, alt: cut(label, 200) });
			return h("video", { controls: true, src: url, preload: "metadata", "aria-label": cut(label, 200) });
		}
		const place = h("div.mediatext");
		if (item.kind === "table") into(place, () => data.table(this.id, item.file, 0, 50), (answer) => place.append(tableView(answer)));
		else if (item.kind === "confusion_matrix") into(place, () => data.mediaText(this.id, item.file), (text) => place.append(confusion(text)));
		else into(place, () => data.mediaText(this.id, item.file), (text) => place.append(h("pre.wrap", { tabindex: "0", "aria-label": cut(label, 100) }, cut(text, 200000))));
		return place;
	}

	destroy() {
		for (const seen of this.slots.values()) seen.disconnect();
	}
}

/** A matrix of counts; the darker, the larger the share of its row. */
function confusion(text) {
	const value = JSON.parse(text);
	const matrix = value.matrix ?? value.counts ?? value;
	if (!Array.isArray(matrix)) return h("pre", null, cut(text, 20000));
	const labels = (value.labels ?? matrix.map((_, at) => at)).map(String);
	return h("div.scroll", { tabindex: "0", role: "region", "aria-label": "confusion matrix" }, h("table.confusion", null,
		h("thead", null, h("tr", null, h("td", null, h("span.soft", null, "true ↓ found →")), labels.map((name) => h("th", { scope: "col" }, h("bdi", null, cut(name, 24)))))),
		h("tbody", null, matrix.map((row, at) => {
			const total = row.reduce((sum, one) => sum + (Number(one) || 0), 0) || 1;
			return h("tr", null, h("th", { scope: "row" }, h("bdi", null, cut(labels[at] ?? String(at), 24))), row.map((one) => {
				const share = (Number(one) || 0) / total;
				const cell = h(`td.num${share > 0.55 ? ".deep" : ""}`, { title: `${number(share * 100, 3)} % of the row` }, number(Number(one)));
				cell.style.setProperty("--share", `${Math.round(share * 100)}%`);
				return cell;
			}));
		}))));
}
