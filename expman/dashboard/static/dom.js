// Makes elements. Text is always text: nothing here parses markup.

const SVG = "http://www.w3.org/2000/svg";

/** The value of an object's own key: `__proto__` and the like are keys as any other. */
export function own(object, key) {
	return object != null && Object.hasOwn(object, key) ? object[key] : undefined;
}

function fill(element, props, children) {
	for (const [key, value] of Object.entries(props || {})) {
		if (value == null || value === false) continue;
		if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
		else if (key === "style") {
			for (const [name, one] of Object.entries(value)) element.style.setProperty(name, one);
		} else if (key === "value" || key === "checked" || key === "disabled" || key === "hidden") {
			element[key] = value;
		} else element.setAttribute(key, value === true ? "" : value);
	}
	append(element, children);
	return element;
}

/** Appends texts, elements, and lists of them; null and false are left out. */
export function append(element, children) {
	for (const child of children) {
		if (child == null || child === false) continue;
		if (Array.isArray(child)) append(element, child);
		else element.append(child instanceof Node ? child : String(child));
	}
}

/** h("button.plain", { onclick }, "text"): an element with its classes, attributes and children. */
export function h(spec, props, ...children) {
	const [tag, ...classes] = spec.split(".");
	const element = document.createElement(tag || "div");
	if (classes.length) element.className = classes.join(" ");
	return fill(element, props, children);
}

/** The same for SVG. */
export function s(spec, props, ...children) {
	const [tag, ...classes] = spec.split(".");
	const element = document.createElementNS(SVG, tag);
	if (classes.length) element.setAttribute("class", classes.join(" "));
	return fill(element, props, children);
}

/** Puts children in place of what an element has. */
export function put(element, ...children) {
	element.replaceChildren();
	append(element, children);
	return element;
}

/** A button with a sign and a name for those who do not see it. */
export function iconButton(sign, label, onclick, props) {
	return h("button.icon", { type: "button", title: label, "aria-label": label, onclick, ...props }, icon(sign));
}

const PATHS = {
	close: "M4 4l8 8M12 4l-8 8",
	full: "M3 6V3h3M10 3h3v3M13 10v3h-3M6 13H3v-3",
	down: "M8 3v8M4.5 8L8 11.5 11.5 8M3 13.5h10",
	pin: "M6 2.5h4l-.6 4.2 2.1 2.3H4.5l2.1-2.3zM8 9v4.5",
	log: "M3 2.5v10.500h10M4.500 12c4-0.500 5-6 8-8.500",
	gear: "M2.500 4.500h11M2.500 8h11M2.500 11.500h11",
	sun: "M8 5a3 3 0 100 6 3 3 0 000-6zM8 1.500v1.200M8 13.300v1.200M1.500 8h1.200M13.300 8h1.200M3.400 3.400l.9.9M11.700 11.700l.9.9M3.400 12.600l.9-.9M11.700 4.300l.9-.9",
	moon: "M13 9.500A5.500 5.500 0 016.500 3a5.500 5.500 0 106.500 6.500z",
	auto: "M8 2.500a5.500 5.500 0 100 11 5.500 5.500 0 000-11zM8 2.500v11M8 4.500h2.800M8 7h5M8 9.500h5M8 12h2.800",
	chevron: "M5 6.500L8 9.500l3-3",
	columns: "M2.500 3h11v10h-11zM6.200 3v10M9.800 3v10",
	trash: "M3 4.500h10M6.500 4.500v-2h3v2M4.500 4.500l.6 9h5.800l.6-9",
	link: "M6.500 9.500l3-3M7 4.500l1.200-1.200a2.700 2.700 0 013.800 3.800L10.800 8.300M9 11.500l-1.200 1.200a2.700 2.700 0 01-3.800-3.800L5.200 7.700",
	list: "M5.500 4h8M5.500 8h8M5.500 12h8M2.500 4h.5M2.500 8h.5M2.500 12h.5",
	up: "M4.500 9.500L8 6l3.500 3.500",
};

/** A small drawn sign. */
export function icon(name) {
	return s("svg.sign", { viewBox: "0 0 16 16", "aria-hidden": "true" }, s("path", { d: PATHS[name] }));
}

/** Calls a function once, some time after the last of many calls. */
export function debounced(wait, call) {
	let timer = 0;
	const later = (...values) => {
		clearTimeout(timer);
		timer = setTimeout(() => call(...values), wait);
	};
	later.stop = () => clearTimeout(timer);
	return later;
}

/** Calls a function at most once in each `wait` ms, and once after the last call. */
export function throttled(wait, call) {
	let timer = 0;
	let last = -Infinity;
	let pause = wait;
	const soon = () => {
		if (timer) return;
		timer = setTimeout(() => {
			timer = 0;
			last = performance.now();
			call();
			pause = Math.max(wait, 4 * (performance.now() - last)); // with very many runs
		}, Math.max(0, last + pause - performance.now()));
	};
	soon.stop = () => clearTimeout(timer);
	return soon;
}

/** Shows a short message at the bottom for some seconds; screen readers read it. */
export function notify(text, kind) {
	const place = document.getElementById("notices");
	const one = h(`div.notice.${kind || "plain"}`, { role: kind === "bad" ? "alert" : "status" }, text);
	place.append(one);
	setTimeout(() => one.remove(), kind === "bad" ? 9000 : 4000);
}

/** Opens a dialog over the page; gives a function that closes it. */
export function openDialog(title, body, { wide, onclose } = {}) {
	const before = document.activeElement;
	const dialog = h(`dialog.sheet${wide ? ".wide" : ""}`, { "aria-label": title });
	const close = () => dialog.close();
	append(dialog, [h("header", null, h("h2", null, title), iconButton("close", "Close", close)), body]);
	dialog.addEventListener("close", () => {
		dialog.remove();
		if (onclose) onclose();
		if (before && before.isConnected) before.focus();
	});
	dialog.addEventListener("click", (event) => {
		if (event.target === dialog) close();
	});
	document.body.append(dialog);
	dialog.showModal();
	return close;
}
