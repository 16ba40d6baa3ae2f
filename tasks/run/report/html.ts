/**
 * The frame of every report: one HTML file that needs no network, no server and no script, and prints well. Its
 * content security policy forbids what it does not need.
 *
 * @module
 */

/** Markup; made by the functions of the report alone, never from data without {@link escapeHtml}. */
export type Html = string;

/** A part of a page. */
export interface Section {
  readonly title: string;
  /** what is shown and how to read it */
  readonly note?: string;
  readonly body: Html;
}

/** A whole page. */
export interface Page {
  readonly title: string;
  /** one line under the title, e.g. what was measured on what */
  readonly subtitle: string;
  /** the answer to "what came of it?", first on the page */
  readonly conclusion: string;
  /** a warning above all: the run failed, or is not finished */
  readonly warning?: string;
  readonly facts: readonly (readonly [name: string, value: string])[];
  readonly sections: readonly (Section | null)[];
}

/** Makes a text safe between tags and in attributes. */
export function escapeHtml(text: string): Html {
  const names: Record<string, string> = {
    "&": "&amp;",
    "<": "&lt;",
    ">": "&gt;",
    '"': "&quot;",
    "'": "&#39;",
  };
  return text.replace(/[&<>"']/g, (character) => names[character]);
}

/** Four digits; a dash for what is not known. */
export function fixed(value: number | null | undefined): string {
  return value === null || value === undefined || !Number.isFinite(value) ? "–" : value.toFixed(4);
}

/** A share in percent. */
export function percent(share: number): string {
  return `${(100 * share).toFixed(0)} %`;
}

/** Duration in words, e.g. `3.2 min`. */
export function duration(seconds: number): string {
  if (seconds < 90) return `${seconds.toFixed(1)} s`;
  return seconds < 5400 ? `${(seconds / 60).toFixed(1)} min` : `${(seconds / 3600).toFixed(1)} h`;
}

/** One column of a table. */
export interface Column {
  readonly title: string;
  /** numbers are aligned right; the first column and texts left */
  readonly text?: boolean;
  /** a text that stays on one line */
  readonly nowrap?: boolean;
  /** shown in grey: measured by others, on other data */
  readonly foreign?: boolean;
}

/** A table; cells are texts. A dense one is smaller: many columns side by side. */
export function table(
  columns: readonly Column[],
  rows: readonly (readonly string[])[],
  { dense = false } = {},
): Html {
  const classOf = ({ text, nowrap, foreign }: Column) => {
    const names = [text ? "text" : "", text && !nowrap ? "prose" : "", foreign ? "foreign" : ""].filter((
      name,
    ) => name !== "");
    return names.length === 0 ? "" : ` class="${names.join(" ")}"`;
  };
  const line = (tag: "th" | "td", cells: readonly string[]) =>
    `<tr>${
      cells.map((cell, c) => `<${tag}${classOf(columns[c])}>${escapeHtml(cell)}</${tag}>`).join("")
    }</tr>`;
  const head = line("th", columns.map(({ title }) => title));
  return `<div class="wide"><table${dense ? ' class="dense"' : ""}><thead>${head}</thead><tbody>${
    rows.map((row) => line("td", row)).join("\n")
  }</tbody></table></div>`;
}

/** Charts beside each other, where there is room. */
export function sideBySide(...charts: readonly Html[]): Html {
  return `<div class="charts">${charts.map((chart) => `<div>${chart}</div>`).join("")}</div>`;
}

/** A chart with a heading of its own. */
export function titled(title: string, body: Html): Html {
  return `<h3>${escapeHtml(title)}</h3>${body}`;
}

/** A text that is folded away on the screen and left out in print. */
export function folded(title: string, text: string): Html {
  return `<details><summary>${escapeHtml(title)}</summary><pre>${escapeHtml(text)}</pre></details>`;
}

/** The style of every page. */
export const STYLE = `
:root { color-scheme: light; }
body { font: 15px/1.5 system-ui, "DejaVu Sans", sans-serif; color: #1a1a1a; background: #fff; max-width: 1000px; margin: 2em auto; padding: 0 1em; }
h1 { font-size: 1.7em; margin: 0; line-height: 1.25; } h2 { font-size: 1.25em; margin: 2.2em 0 .3em; border-bottom: 1px solid #ccc; }
h3 { font-size: 1em; margin: 1em 0 .2em; } .subtitle { color: #444; margin: .2em 0 1em; }
.note { color: #444; max-width: 52em; margin: .3em 0 .8em; font-size: .93em; }
.conclusion { background: #eef3f8; padding: .6em 1em; border-left: 4px solid #0072b2; }
.warning { background: #fdf0e6; padding: .6em 1em; border-left: 4px solid #d55e00; }
.wide { overflow-x: auto; } table { border-collapse: collapse; margin: .4em 0; font-size: .93em; font-variant-numeric: tabular-nums; }
td, th { padding: .22em .6em; text-align: right; border-bottom: 1px solid #ddd; white-space: nowrap; } thead th { border-bottom: 2px solid #888; white-space: normal; vertical-align: bottom; }
td:first-child, th:first-child, .text { text-align: left; } td.prose { white-space: normal; } .foreign { color: #6a6a6a; font-style: italic; }
.dense { font-size: .75em; } .dense td, .dense th { padding: .2em .5em; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .1em 1em; font-size: .93em; } dt { color: #5a5a5a; } dd { margin: 0; overflow-wrap: anywhere; }
figure, svg { margin: 0; max-width: 100%; break-inside: avoid; } .charts { display: flex; flex-wrap: wrap; gap: 1.2em; align-items: flex-start; }
.frames { display: grid; grid-template-columns: repeat(auto-fill, minmax(225px, 1fr)); gap: 1em; }
.frame { display: grid; grid-template-columns: 84px 1fr; gap: .6em; font-size: 12px; line-height: 1.35; break-inside: avoid; }
.frame img, .frame .gone { width: 84px; height: 84px; border-radius: 3px; background: #eee; }
.bar { background: #e3e6e9; height: 6px; margin: 1px 0 3px; } .bar span { display: block; height: 6px; background: #555; }
.bar .true { background: #0072b2; } .frame small { color: #5a5a5a; }
.track { break-inside: avoid; margin: 1.2em 0 1.6em; max-width: 960px; }
[class*="-swatches"], [class*="-swatches"] span { font-size: 12px; } [class*="-swatches"] svg { margin-right: .5em; } .strip { display: flex; } .strip span { flex: 1; text-align: center; font-size: 10px; color: #5a5a5a; }
.strip img { display: block; margin: 0 auto; width: 90%; max-width: 56px; aspect-ratio: 1; border-radius: 3px; }
pre { font-size: 12px; background: #f6f6f6; padding: .8em; overflow-x: auto; white-space: pre-wrap; } summary { cursor: pointer; }
footer { margin-top: 3em; color: #5a5a5a; font-size: .85em; border-top: 1px solid #ccc; }
@page { margin: 14mm; }
@media print {
  body { margin: 0; max-width: none; font-size: 12px; } h2, h3 { break-after: avoid; } details { display: none; }
  .wide { overflow: visible; } table { font-size: .8em; } .dense { font-size: .65em; } tr { break-inside: avoid; }
  * { -webkit-print-color-adjust: exact; print-color-adjust: exact; }
}`;

/** Nothing is fetched and nothing runs: images are in the page, styles too. */
const POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'";

function sectionMarkup({ title, note, body }: Section): Html {
  const said = note === undefined ? "" : `<p class="note">${escapeHtml(note)}</p>\n`;
  return `<section>\n<h2>${escapeHtml(title)}</h2>\n${said}${body}\n</section>`;
}

/** The page as HTML. */
export function renderPage({ title, subtitle, conclusion, warning, facts, sections }: Page): Html {
  const rows = facts.map(([name, value]) => `<dt>${escapeHtml(name)}</dt><dd>${escapeHtml(value)}</dd>`);
  const shown = sections.filter((section) => section !== null);
  const factSection = { title: "What ran, and on what", body: `<dl>${rows.join("\n")}</dl>` };
  return `<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<meta http-equiv="Content-Security-Policy" content="${POLICY}">
<link rel="icon" href="data:,">
<title>${escapeHtml(title)}</title>
<style>${STYLE}</style></head><body>
<h1>${escapeHtml(title)}</h1>
<p class="subtitle">${escapeHtml(subtitle)}</p>
${warning === undefined ? "" : `<p class="warning">${escapeHtml(warning)}</p>\n`}${
    conclusion === "" ? "" : `<p class="conclusion">${escapeHtml(conclusion)}</p>\n`
  }${[...shown, factSection].map(sectionMarkup).join("\n")}
<footer>Made by Fervid. This file is whole by itself: no network, no script.</footer>
</body></html>
`;
}
