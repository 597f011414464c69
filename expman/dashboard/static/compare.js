import { blank } from "./parts.js";
export class CompareView { constructor(root) { root.append(blank("soon")); } destroy() {} }
