import { blank } from "./parts.js";
export class RunView { constructor(root) { root.append(blank("soon")); } destroy() {} }
