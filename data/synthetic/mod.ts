/**
 * A synthetic talking-face set in Aff-Wild2's layout: faces drawn from action units, so nothing licensed is needed.
 *
 * @module
 */
export { contactSheet } from "./contact_sheet.ts";
export { type SynthesisOptions, type SynthesisResult, synthesize } from "./synthesize.ts";
