// A list of any length of which only the visible rows are elements.

/** `row(index)` makes the element of a row; all rows have the same height. */
export class VirtualList {
	constructor(viewport, { height, row, before = 0 }) {
		this.viewport = viewport;
		this.height = height;
		this.row = row;
		this.before = before;
		this.count = 0;
		this.rows = new Map();
		this.body = document.createElement("div");
		this.body.className = "vbody";
		viewport.append(this.body);
		this.draw = this.draw.bind(this);
		viewport.addEventListener("scroll", this.draw, { passive: true });
		this.observer = new ResizeObserver(this.draw);
		this.observer.observe(viewport);
	}

	/** Makes all visible rows anew. */
	show(count) {
		this.count = count;
		this.body.style.height = `${count * this.height}px`;
		const focused = this.body.contains(document.activeElement) ? document.activeElement : null;
		const key = focused?.closest("[data-row]")?.dataset.row;
		this.body.replaceChildren();
		this.rows.clear();
		this.draw();
		if (key !== undefined) this.rows.get(Number(key))?.focus?.({ preventScroll: true });
	}

	draw() {
		const top = Math.max(0, this.viewport.scrollTop - this.before);
		const first = Math.max(0, Math.floor(top / this.height) - 8);
		const last = Math.min(this.count, Math.ceil((top + this.viewport.clientHeight) / this.height) + 8);
		for (const [index, element] of this.rows) {
			if (index < first || index >= last) {
				element.remove();
				this.rows.delete(index);
			}
		}
		for (let index = first; index < last; index += 1) {
			if (this.rows.has(index)) continue;
			const element = this.row(index);
			element.dataset.row = index;
			element.style.transform = `translateY(${index * this.height}px)`;
			this.rows.set(index, element);
			this.body.append(element);
		}
	}

	/** Scrolls so that a row can be seen. */
	reveal(index) {
		const top = index * this.height;
		const view = this.viewport;
		if (top < view.scrollTop) view.scrollTop = top;
		else if (top + this.height + this.before > view.scrollTop + view.clientHeight) {
			view.scrollTop = top + this.height + this.before - view.clientHeight;
		}
		this.draw();
	}

	destroy() {
		this.observer.disconnect();
		this.viewport.removeEventListener("scroll", this.draw);
	}
}
