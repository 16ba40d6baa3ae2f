/**
 * Synthetic talking faces in Aff-Wild2's layout, and pictures of many people in VGGFace2's: faces drawn from action
 * units, so nothing licensed is needed.
 *
 * @module
 */
export { type IdentitiesOptions, type IdentitiesResult, synthesizeIdentities } from "./identities.ts";
export { contactSheet } from "./contact_sheet.ts";
export { type SynthesisOptions, type SynthesisResult, synthesize } from "./synthesize.ts";
